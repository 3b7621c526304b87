"""Faster R-CNN (arXiv:1506.01497) on EfficientNet-Lite0: torchvision's RPN and RoI heads on a feature pyramid (PAN)."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections import OrderedDict
from typing import Any, Final, cast

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from models.detection.lite_backbone import build_pyramid

LEVELS: Final = ("stride8", "stride16", "stride32")
"""Names of the pyramid's levels."""
_ANCHOR_SIDES: Final = ((12, 28), (56, 104), (176, 288))
"""Anchor sizes in pixels, by level. Of the people in the training photos, at 416 pixels, a tenth are below 10 (the
square root of the area), half below 42, and a tenth above 174."""
_ANCHOR_RATIOS: Final = (0.5, 1.0, 2.0)
_REGION_SIDE: Final = 7


class NamedPyramid(nn.Module):
    """A feature pyramid that returns a dictionary by level, which torchvision's RoI pooling requires.

    Args:
        width: Channels of each level.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pyramid = build_pyramid(width)
        self.out_channels = width

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) to a map for each of the strides 8, 16 and 32."""
        return OrderedDict(zip(LEVELS, self.pyramid(images), strict=True))


class Float32RpnHead(RPNHead):
    """The RPN head, with float32 outputs under autocast too: they become corners in pixels."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        objectness, deltas = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in deltas]


class Float32Predictor(FastRCNNPredictor):
    """The box predictor of the second stage, with float32 outputs under autocast too."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = super().forward(x)
        return scores.float(), deltas.float()


def build_faster_rcnn_lite(class_count: int, width: int = 96, region_width: int = 256) -> FasterRCNN:
    """Builds the detector, with random weights.

    Its classes count from 1, as always in torchvision's detectors: 0 is the background.

    Args:
        class_count: Number of classes, without the background.
        width: Channels of the pyramid.
        region_width: Width of the two fully connected layers of the box head.
    """
    return FasterRCNN(**two_stages(class_count, width, region_width))


def two_stages(
    class_count: int, width: int, region_width: int, anchor_scale: float = 1.0, max_regions: int = 200
) -> dict[str, Any]:
    """The parts of Faster R-CNN, which Mask R-CNN has, too: arguments of torchvision's classes.

    Args:
        class_count: Number of classes, without the background.
        width: Channels of the pyramid.
        region_width: Width of the two fully connected layers of the box head.
        anchor_scale: Side of the anchors, as a share of those for people at 416 pixels.
        max_regions: The most proposals of an image after the RPN's NMS.
    """
    sides = tuple(tuple(round(anchor_scale * side) for side in level) for level in _ANCHOR_SIDES)
    anchors = AnchorGenerator(cast(Any, sides), (_ANCHOR_RATIOS,) * len(LEVELS))
    return {
        "backbone": NamedPyramid(width),
        "rpn_anchor_generator": anchors,
        "rpn_head": Float32RpnHead(width, anchors.num_anchors_per_location()[0]),
        "rpn_pre_nms_top_n_train": 3 * max_regions,
        "rpn_pre_nms_top_n_test": 3 * max_regions // 2,
        "rpn_post_nms_top_n_train": 3 * max_regions // 2,
        "rpn_post_nms_top_n_test": max_regions,
        "rpn_batch_size_per_image": 128,
        "box_roi_pool": MultiScaleRoIAlign(list(LEVELS), _REGION_SIDE, 2),
        "box_head": TwoMLPHead(width * _REGION_SIDE**2, region_width),
        "box_predictor": Float32Predictor(region_width, class_count + 1),
        "box_batch_size_per_image": 96,
    }
