"""Mask R-CNN (arXiv:1703.06870) on EfficientNet-Lite0: Faster R-CNN with a mask branch."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from typing import Final

from torch import Tensor
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from models.detection.lite_faster_rcnn import LEVELS, two_stages

MASK_REGION_SIDE: Final = 14
"""Side of the pooled features of the mask branch in cells; its masks have twice as many a side."""


class Float32MaskPredictor(MaskRCNNPredictor):
    """The mask predictor, with float32 outputs under autocast too."""

    def forward(self, input: Tensor) -> Tensor:
        scores: Tensor = super().forward(input)
        return scores.float()


def build_mask_rcnn_lite(
    class_count: int,
    width: int = 96,
    region_width: int = 256,
    mask_width: int = 64,
    anchor_scale: float = 1.0,
    max_regions: int = 200,
) -> MaskRCNN:
    """Builds the network, with random weights.

    Its classes count from 1, as always in torchvision's detectors: 0 is the background. The weights of a
    `models.detection.lite_faster_rcnn` fit all of it but the branch for masks.

    Args:
        class_count: Number of classes, without the background.
        width: Channels of the pyramid.
        region_width: Width of the two fully connected layers of the box head.
        mask_width: Channels of the branch for masks.
        anchor_scale: Side of the anchors, as a share of those for people at 416 pixels.
        max_regions: The most proposals of an image after the RPN's NMS.
    """
    layers = (mask_width, mask_width)
    return MaskRCNN(
        **two_stages(class_count, width, region_width, anchor_scale, max_regions),
        mask_roi_pool=MultiScaleRoIAlign(list(LEVELS), MASK_REGION_SIDE, 2),
        mask_head=MaskRCNNHeads(width, layers, dilation=1),
        mask_predictor=Float32MaskPredictor(mask_width, mask_width, class_count + 1),
    )
