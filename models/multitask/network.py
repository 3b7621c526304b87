"""One network for four tasks: Mask R-CNN on EfficientNet-Lite0, with a semantic and a classification head.

The four share the trunk, as the tasks of Panoptic FPN (arXiv:1901.02446) do. The semantic head is the decoder of a
U-Net (arXiv:1505.04597) up to stride 4, so that it can start from a U-Net on the same encoder.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNN, MaskRCNNHeads
from torchvision.ops import MultiScaleRoIAlign

from models.detection.lite_backbone import LiteBackbone
from models.detection.lite_faster_rcnn import LEVELS, NamedPyramid, two_stages
from models.detection.yolox import PathAggregation
from models.multitask.counts import COUNT_CLASSES
from models.segmentation.lite_mask_rcnn import MASK_REGION_SIDE, Float32MaskPredictor
from models.segmentation.lite_unet import TAPPED, decoder_level, decoder_widths, joined, skip_channels
from models.segmentation.unet import convolution

MULTITASK: Final = "multitask-efficientnet-lite0"
"""Name of the architecture in cards."""
_EVIDENCE: Final = 16
"""Kinds of cells that the classification head counts on a level."""
_RARE: Final = -4.0
"""Logit of such a cell before training: one in fifty."""
_LEVELS: Final = (1, 2, 3)
"""Levels of the U-Net's decoder that are used: strides 4, 8 and 16."""


class SemanticHead(nn.Module):
    """The decoder of a `models.segmentation.lite_unet.LiteUNet` up to stride 4; parameters have the same names.

    Args:
        class_count: Number of classes, with the background.
        width: Channels that the U-Net's decoder has at stride 2; at stride 4 there are 1.5 times as many.
    """

    def __init__(self, class_count: int, width: int) -> None:
        super().__init__()
        widths, skips = decoder_widths(width), skip_channels()
        self.bottom = nn.Sequential(*convolution(skips[-1], widths[-1], 1))
        self.decoder = nn.ModuleDict(
            {str(level): decoder_level(widths[level + 1], skips[level], widths[level]) for level in _LEVELS}
        )
        self.scores = nn.Conv2d(widths[_LEVELS[0]], class_count, 1)

    def forward(self, tapped: Sequence[Tensor]) -> Tensor:
        """Computes the logits.

        Args:
            tapped: See `MultitaskRcnn.tapped`.

        Returns:
            (N, class_count, H / 4, W / 4), upright.
        """
        features = self.bottom(tapped[-1])
        for level in reversed(_LEVELS):
            features = joined(self.decoder[str(level)], features, tapped[level])
        return self.scores(features).flip(2, 3)


class CountHead(nn.Module):
    """Classifies images by the pyramid: by mean and maximum of each level, and by sums over its cells, which count.

    Args:
        width: Channels of a level.
        class_count: Number of classes.
        hidden: Width of the hidden layer.
    """

    def __init__(self, width: int, class_count: int, hidden: int) -> None:
        super().__init__()
        self.evidence = nn.ModuleList(nn.Conv2d(width, _EVIDENCE, 1) for _ in LEVELS)
        pooled = len(LEVELS) * (2 * width + _EVIDENCE)
        self.layers = nn.Sequential(nn.Linear(pooled, hidden), nn.ReLU(), nn.Linear(hidden, class_count))
        for layer in self.evidence:
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            nn.init.constant_(layer.bias, _RARE)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """(N, width, h, w) of each level to (N, class_count) logits."""
        pooled: list[Tensor] = []
        for evidence, level in zip(self.evidence, levels, strict=True):
            shares: Tensor = evidence(level).sigmoid()
            pooled += [level.mean((2, 3)), level.amax((2, 3)), shares.sum((2, 3)).log1p()]
        return self.layers(torch.cat(pooled, 1))


class MultitaskRcnn(MaskRCNN):
    """Detects objects, with masks; tells classes apart pixel by pixel; and classifies images.

    It is a Mask R-CNN, which `models.segmentation.mask_rcnn_regions` runs, with two more heads.

    Attributes:
        semantic: The semantic head.
        counting: The classification head.
    """

    semantic: SemanticHead
    counting: CountHead

    @property
    def _pyramid(self) -> PathAggregation:
        return cast(NamedPyramid, self.backbone).pyramid

    @property
    def _trunk(self) -> LiteBackbone:
        return cast(LiteBackbone, self._pyramid.backbone)

    def tapped(self, images: Tensor) -> list[Tensor]:
        """Runs the trunk.

        Args:
            images: (N, 3, H, W), normalised; H and W multiples of 32.

        Returns:
            Its feature maps at the strides 2, 4, 8, 16 and 32, turned by 180 degrees.
        """
        return self._trunk.tapped(images.flip(2, 3), TAPPED)

    def levels(self, tapped: Sequence[Tensor]) -> OrderedDict[str, Tensor]:
        """Runs the pyramid: (N, width, H / s, W / s) for the strides 8, 16 and 32 from what `tapped` returns."""
        levels = self._pyramid.aggregated(*self._trunk.projected(tapped[-len(LEVELS) :]))
        return OrderedDict(zip(LEVELS, levels, strict=True))


def build_multitask(
    class_count: int,
    width: int = 96,
    region_width: int = 256,
    mask_width: int = 64,
    semantic_width: int = 32,
    count_width: int = 128,
) -> MultitaskRcnn:
    """Builds the network, with random weights.

    Args:
        class_count: Number of classes of objects, without the background.
        width: Channels of the pyramid.
        region_width: Width of the two fully connected layers of the box head.
        mask_width: Channels of the branch for masks.
        semantic_width: See `SemanticHead`.
        count_width: Width of the hidden layer of the classification head.
    """
    network = MultitaskRcnn(
        **two_stages(class_count, width, region_width),
        mask_roi_pool=MultiScaleRoIAlign(list(LEVELS), MASK_REGION_SIDE, 2),
        mask_head=MaskRCNNHeads(width, (mask_width, mask_width), dilation=1),
        mask_predictor=Float32MaskPredictor(mask_width, mask_width, class_count + 1),
    )
    network.semantic = SemanticHead(class_count + 1, semantic_width)
    network.counting = CountHead(width, COUNT_CLASSES, count_width)
    return network
