"""One network for four tasks: Mask R-CNN on EfficientNet-Lite0, with a semantic and a classification head.

The four share the trunk, as the tasks of Panoptic FPN (arXiv:1901.02446) do. The semantic head is the decoder of a
U-Net (arXiv:1505.04597) up to stride 4, so that it can start from a U-Net on the same encoder. The classification head
counts objects, and reads what the detection head says of each as well as the pyramid.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection.image_list import ImageList
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
COUNTED: Final = 16
"""Boxes whose scores the classification head reads: those with the best."""
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
    """Classifies images by how many objects they hold: from the scores of the boxes found, and the whole pyramid.

    Args:
        width: Channels of a level.
        class_count: Number of classes.
        hidden: Width of the hidden layer behind the scores.
    """

    def __init__(self, width: int, class_count: int, hidden: int) -> None:
        super().__init__()
        self.of_boxes = nn.Sequential(nn.Linear(COUNTED, hidden), nn.ReLU(), nn.Linear(hidden, class_count))
        self.of_pyramid = nn.Linear(2 * len(LEVELS) * width, class_count, bias=False)
        nn.init.zeros_(self.of_pyramid.weight)  # it corrects what the boxes say

    def forward(self, summary: Tensor, scores: Tensor) -> Tensor:
        """Computes the logits.

        Args:
            summary: (N, 6 width), see `summary`.
            scores: (N, COUNTED) in [0, 1], see `best_scores`.

        Returns:
            (N, class_count).
        """
        return self.of_boxes(scores) + self.of_pyramid(summary)


def summary(levels: Sequence[Tensor]) -> Tensor:
    """Mean and maximum of the channels of each level: (N, width, h, w) of three levels to (N, 6 width)."""
    return torch.cat([pooled for level in levels for pooled in (level.mean((2, 3)), level.amax((2, 3)))], 1)


def best_scores(scores: Tensor) -> Tensor:
    """Cuts the scores of an image's boxes, (K,) in descending order, to (COUNTED,); zeros stand for missing boxes."""
    return pad(scores[:COUNTED], (0, max(0, COUNTED - len(scores))))


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

    @torch.no_grad()
    def box_scores(self, images: Tensor, levels: Mapping[str, Tensor]) -> Tensor:
        """Finds objects as in prediction, whatever mode the network is in, without gradients.

        Args:
            images: (N, 3, H, W), of which only the size counts.
            levels: Of the pyramid, from `levels`.

        Returns:
            (N, COUNTED), see `best_scores`.
        """
        rpn, heads = cast(Any, self.rpn), cast(Any, self.roi_heads)
        learning, sizes = rpn.training, [(images.shape[2], images.shape[3])] * len(images)
        proposals, _ = rpn.eval()(ImageList(images, sizes), levels)
        rpn.train(learning)
        logits, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(levels, proposals, sizes)))
        _, scores, _ = heads.postprocess_detections(logits, deltas, proposals, sizes)
        return torch.stack([best_scores(own) for own in scores])


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
