"""Splits torchvision's detectors into a trunk (backbone, pyramid and heads) and the decoding of its outputs to regions.

The trunk maps images to tensors and nothing else, so that `models.execution.executor` can convert, fold or compile it
like any other network.
"""

# pyright: reportMissingTypeStubs=false

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.models.detection.ssd import SSD

from models.detection.candidates import MAX_CANDIDATES
from models.detection.region_pool import RegionPool
from models.execution.executor import DTYPES, folded
from models.execution.finite import require_finite
from models.runtime import Runtime

TorchvisionDetector = FasterRCNN | RetinaNet | FCOS | SSD

_PROBE_SIDE: Final = 64


class Regions(NamedTuple):
    """Scores and box deltas of R anchors or proposals of one image.

    Attributes:
        scores: (R, C) float32 in [0, 1].
        first_label: The network's label of the first column of the scores.
        boxes: (R, 4) float32, anchors or proposals, in pixels of the input.
        deltas: (R, 1 or L, 4) float32, encoded boxes relative to them: one for all labels, or one for each of L.
        coder: torchvision's box coder, which decodes the deltas.
        features: Feature maps of the image, (1, F, h, w) float32 of each level by name, where a further stage can pool
            regions of them.
    """

    scores: Tensor
    first_label: int
    boxes: Tensor
    deltas: Tensor
    coder: Any
    features: Mapping[str, Tensor]

    def decode(self, places: Tensor, labels: Tensor) -> Tensor:
        """Decodes the boxes of K pairs of region and label.

        Args:
            places: (K,) int64 rows.
            labels: (K,) int64 labels.

        Returns:
            (K, 4) float32, x_min, y_min, x_max, y_max in pixels of the input; may reach beyond it.
        """
        column = labels if self.deltas.shape[1] > 1 else torch.zeros_like(labels)
        decode = getattr(self.coder, "decode_single", self.coder.decode)
        return decode(self.deltas[places, column], self.boxes[places])


class OneStage:
    """RetinaNet (arXiv:1708.02002), FCOS (arXiv:1904.01355) or SSD (arXiv:1512.02325).

    Args:
        network: In evaluation mode.

    Attributes:
        trunk: From normalised images to the outputs that `regions` decodes.
    """

    def __init__(self, network: RetinaNet | FCOS | SSD) -> None:
        self.trunk: nn.Module = _OneStageTrunk(network)
        self._anchors: Any = network.anchor_generator
        self._coder: Any = network.box_coder
        self._scores = _softmax if isinstance(network, SSD) else _centred if isinstance(network, FCOS) else _sigmoid

    def regions(self, outputs: Sequence[Tensor], images: ImageList) -> Iterator[Regions]:
        """Decodes the outputs for N images of one size.

        Args:
            outputs: Of the trunk, float32.
            images: `tensors` of the padded size, and the N sizes before.

        Returns:
            N, in the same order.
        """
        logits, deltas, centredness, *levels = outputs
        anchors = self._anchors(images, levels)[0]
        for index in range(len(logits)):
            places, scores, first_label = self._scores(logits[index], centredness[index])
            yield Regions(scores, first_label, anchors[places], deltas[index][places][:, None], self._coder, {})


class TwoStages:
    """Faster R-CNN (arXiv:1506.01497).

    Args:
        network: In evaluation mode.
        runtime: A resolved runtime.

    Attributes:
        trunk: From normalised images to the outputs that `regions` decodes.
    """

    def __init__(self, network: FasterRCNN, runtime: Runtime) -> None:
        heads: Any = network.roi_heads
        self.trunk: nn.Module = _TwoStageTrunk(network)
        with torch.no_grad():
            self._names = list(cast(Any, network.backbone)(torch.zeros(1, 3, _PROBE_SIDE, _PROBE_SIDE)))
        self._proposer: Any = network.rpn
        self._pool = RegionPool(heads.box_roi_pool)
        self._coder: Any = heads.box_coder
        self._dtype = DTYPES[runtime.precision]
        head: nn.Module = folded(heads.box_head) if runtime.fuse else heads.box_head
        self._head = head.to(runtime.device, self._dtype)
        self._predictor: Any = heads.box_predictor.to(runtime.device)
        self._channels: int = cast(Any, network.backbone).out_channels

    @property
    def region_head(self) -> tuple[nn.Module, tuple[int, int, int]]:
        """The layers that look at each region, one after the other, and the (F, S, S) shape of a pooled region."""
        layers = nn.Sequential(OrderedDict(box_head=self._head, box_predictor=self._predictor))
        height, width = self._pool.output_size
        return layers.eval(), (self._channels, height, width)

    def regions(
        self, outputs: Sequence[Tensor], images: ImageList, proposals: Sequence[Tensor] | None = None
    ) -> Iterator[Regions]:
        """See `OneStage.regions`; computed lazily, image by image.

        Args:
            outputs: Of the trunk, float32.
            images: As for `OneStage.regions`.
            proposals: (P, 4) float32 for each image, in pixels of the input; those of the RPN where None.
        """
        count = len(self._names)
        features = outputs[:count]
        if proposals is None:
            proposals = self.proposals(outputs, images)
        for index, (boxes, size) in enumerate(zip(proposals, images.image_sizes, strict=True)):
            # RoIAlign copies a level into this order whenever it finds it in another: 94 ms at 800 x 1088 pixels.
            levels = {name: level[index, None].contiguous() for name, level in zip(self._names, features, strict=True)}
            boxes = boxes.to(features[0].device)
            yield self._classified(self._pool(levels, boxes, size), boxes, levels)

    def regions_of_crops(self, outputs: Sequence[Tensor], place: Tensor, side: int, proposals: Tensor) -> Regions:
        """Decodes the outputs for crops of one image, each of one proposal.

        Args:
            outputs: Of the trunk for K crops, float32.
            place: (1, 4) float32, where the proposal lies in every crop, in its pixels.
            side: Of a crop in pixels.
            proposals: (K, 4) float32, in pixels of the image's input.
        """
        count = len(self._names)
        features = dict(zip(self._names, (level.contiguous() for level in outputs[:count]), strict=True))
        places = [place.to(outputs[0].device)] * len(proposals)
        pooled = self._pool.of_batch(features, places, (side, side))
        return self._classified(pooled, proposals.to(outputs[0].device), {})

    def _classified(self, pooled: Tensor, boxes: Tensor, levels: Mapping[str, Tensor]) -> Regions:
        """The box head on pooled regions (R, F, S, S)."""
        logits, deltas = self._predictor(self._head(pooled.to(self._dtype)).float())
        require_finite(logits, deltas)
        return Regions(logits.softmax(1)[:, 1:], 1, boxes, deltas.view(*logits.shape, 4), self._coder, levels)

    def proposals(self, outputs: Sequence[Tensor], images: ImageList, most: int | None = None) -> list[Tensor]:
        """Region proposals of the RPN, selected as torchvision does.

        Args:
            outputs: Of the trunk, float32.
            images: As for `OneStage.regions`.
            most: The most of each image; as many as the network has by default where None.

        Returns:
            (P, 4) float32 for each image, in pixels of the input, by descending objectness.
        """
        count = len(self._names)
        features, objectness, deltas = outputs[:count], outputs[count : 2 * count], outputs[2 * count :]
        proposer = self._proposer
        if most is not None:
            proposer = copy.copy(proposer)
            proposer._pre_nms_top_n, proposer._post_nms_top_n = {"testing": 2 * most}, {"testing": most}
        anchors = proposer.anchor_generator(images, list(features))
        anchors_per_level = [level[0].numel() for level in objectness]
        all_objectness, all_deltas = concat_box_prediction_layers(list(objectness), list(deltas))
        proposals = proposer.box_coder.decode(all_deltas, anchors).view(len(anchors), -1, 4)
        return proposer.filter_proposals(proposals, all_objectness, images.image_sizes, anchors_per_level)[0]


class _OneStageTrunk(nn.Module):
    """Returns class logits (N, R, C), box deltas (N, R, 4), centerness (N, R, 1 or 0), and each level (N, 1, h, w).

    Attributes:
        multiple: The input is padded at the right and the bottom to multiples of so many pixels.
    """

    def __init__(self, network: RetinaNet | FCOS | SSD) -> None:
        super().__init__()
        parts: Any = network
        self.backbone = parts.backbone
        self.head = parts.head
        self.multiple = multiple_of(network)

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = list(self.backbone(_padded(images, self.multiple)).values())
        found = self.head(levels)
        logits, deltas = found["cls_logits"], found["bbox_regression"]
        return [logits, deltas, found.get("bbox_ctrness", deltas[..., :0]), *(level[:, :1] for level in levels)]


class _TwoStageTrunk(nn.Module):
    """Returns each level's features (N, F, h, w), then objectness (N, A, h, w), then deltas (N, 4 A, h, w).

    Attributes:
        multiple: See `_OneStageTrunk`.
    """

    def __init__(self, network: FasterRCNN) -> None:
        super().__init__()
        self.backbone: Any = network.backbone
        self.head: Any = cast(Any, network.rpn).head
        self.multiple = multiple_of(network)

    def forward(self, images: Tensor) -> list[Tensor]:
        levels = list(self.backbone(_padded(images, self.multiple)).values())
        objectness, deltas = self.head(levels)
        return [*levels, *objectness, *deltas]


def multiple_of(network: TorchvisionDetector) -> int:
    """The sides of a network's input must be multiples of this many pixels."""
    transform: Any = network.transform
    return transform.size_divisible


def _padded(images: Tensor, multiple: int) -> Tensor:
    """Appends zeros at the right and the bottom, of normalised images, as torchvision does."""
    if multiple == 1:
        return images
    height, width = images.shape[-2:]
    return pad(images, (0, -width % multiple, 0, -height % multiple))


_Scored = tuple[Tensor | slice, Tensor, int]
"""Indices of the regions that are kept, their scores (places, C), and the label of the first column."""


def _sigmoid(logits: Tensor, _: Tensor) -> _Scored:
    places = _most(logits.amax(1))
    return places, logits[places].sigmoid(), 0


def _centred(logits: Tensor, centredness: Tensor) -> _Scored:
    share = centredness.sigmoid()
    places = _most(logits.amax(1).sigmoid() * share[:, 0])
    return places, (logits[places].sigmoid() * share[places]).sqrt(), 0


def _softmax(logits: Tensor, _: Tensor) -> _Scored:
    return slice(None), logits.softmax(1)[:, 1:], 1


def _most(best: Tensor) -> Tensor:
    """Top-k: indices of the regions with the greatest best scores; no other region has one of the best scores."""
    return best.topk(min(MAX_CANDIDATES, len(best))).indices
