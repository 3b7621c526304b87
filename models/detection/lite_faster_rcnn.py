"""Faster R-CNN (arXiv:1506.01497) on EfficientNet-Lite0: torchvision's two stages upon a path-aggregation pyramid."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections import OrderedDict
from typing import Any, Final, cast

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FasterRCNN, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign

from models.detection.lite_backbone import build_pyramid

_LEVELS: Final = ("stride8", "stride16", "stride32")
_ANCHOR_SIDES: Final = ((12, 28), (56, 104), (176, 288))
"""In pixels, for each level: of the people in the training photos, at 416 pixels, a tenth are below 10 (the square root
of the area), half below 42, and a tenth above 174."""
_ANCHOR_RATIOS: Final = (0.5, 1.0, 2.0)
_REGION_SIDE: Final = 7


class NamedPyramid(nn.Module):
    """A pyramid whose levels have names, as torchvision's second stage asks for.

    Args:
        width: Channels of each level.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pyramid = build_pyramid(width)
        self.out_channels = width

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(N, 3, H, W) to a map for each of the strides 8, 16 and 32."""
        return OrderedDict(zip(_LEVELS, self.pyramid(images), strict=True))


class Float32RpnHead(RPNHead):
    """The region proposals' head, whose answers are float32 whatever autocast says: they are corners in pixels."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        objectness, deltas = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in deltas]


class Float32Predictor(FastRCNNPredictor):
    """The second stage's last layers, whose answers are float32 whatever autocast says."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = super().forward(x)
        return scores.float(), deltas.float()


def build_faster_rcnn_lite(class_count: int, width: int = 96, region_width: int = 256) -> FasterRCNN:
    """Builds the detector, with random weights.

    Its classes count from 1, as always in torchvision's detectors: 0 is the background.

    Args:
        class_count: Number of classes, without the background.
        width: Channels of the pyramid.
        region_width: Width of the two layers that look at a region.
    """
    anchors = AnchorGenerator(cast(Any, _ANCHOR_SIDES), (_ANCHOR_RATIOS,) * len(_LEVELS))
    return FasterRCNN(
        NamedPyramid(width),
        rpn_anchor_generator=anchors,
        rpn_head=Float32RpnHead(width, anchors.num_anchors_per_location()[0]),
        rpn_pre_nms_top_n_train=600,
        rpn_pre_nms_top_n_test=300,
        rpn_post_nms_top_n_train=300,
        rpn_post_nms_top_n_test=200,
        rpn_batch_size_per_image=128,
        box_roi_pool=MultiScaleRoIAlign(list(_LEVELS), _REGION_SIDE, 2),
        box_head=TwoMLPHead(width * _REGION_SIDE**2, region_width),
        box_predictor=Float32Predictor(region_width, class_count + 1),
        box_batch_size_per_image=96,
    )
