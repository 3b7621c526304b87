"""Augmentation of instance segmenters: weighted boxes fusion, and masks averaged over the views of an object."""

# pyright: reportUnknownMemberType=false

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from models.adapter import ModelInput, RawOutput
from models.augmentation.augmented import AugmentedInput
from models.augmentation.box_fusion import FoundBoxes, FusedBoxes, fuse
from models.augmentation.detection import unmirrored
from models.augmentation.letterboxed import LetterboxedViews
from models.detection.selection import are_boxes, suppress
from models.geometry.masks import Mask
from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks
from models.segmentation.mask_rcnn_regions import OVERLAP, RegionMasks
from models.segmentation.pasting import paste

_FINER: Final = 2
"""Cells of a merged mask for each cell of a view's, along a side: the boxes of views differ, and so do their cells."""


class AugmentedInstanceSegmenter(LetterboxedViews[SegmentationParameters, InstanceMasks]):
    """Fuses the boxes of all views, and averages the mask probabilities of the boxes that became one.

    Masks are computed of the objects that a request wants, as without augmentation.
    """

    def forward(self, inputs: Sequence[ModelInput]) -> list[list[RegionMasks]]:
        """See `models.adapter.Adapter.forward`: for each image the objects of each view."""
        return self._run_all(inputs)

    def postprocess(
        self, raw: RawOutput, inputs: Sequence[ModelInput], parameters: Sequence[SegmentationParameters]
    ) -> list[InstanceMasks]:
        """See `models.adapter.Adapter.postprocess`."""
        return [self._merged(*one) for one in zip(raw, inputs, parameters, strict=True)]

    def _merged(
        self, outputs: Sequence[RegionMasks], item: ModelInput, parameters: SegmentationParameters
    ) -> InstanceMasks:
        assert isinstance(item, AugmentedInput)
        width = item.image_size[1]
        found: list[FoundBoxes] = []
        rows: list[NDArray[np.int64]] = []
        for kind, view, output in zip(item.kinds, item.views, outputs, strict=True):
            objects = self._scaled[kind.scale].objects_of(output, view)
            real = are_boxes(objects.boxes).nonzero().flatten()
            boxes = unmirrored(objects.boxes[real].numpy(), kind, width)
            found.append(FoundBoxes(boxes, objects.scores[real].numpy(), objects.class_ids[real].numpy()))
            rows.append(real.numpy())
        fused = fuse(found)
        kept = _selected(fused, parameters)
        masks = _masks(fused, kept, found, rows, item, outputs)
        return InstanceMasks(fused.boxes[kept], fused.scores[kept], fused.class_ids[kept], item.image_size, masks)


def _selected(fused: FusedBoxes, parameters: SegmentationParameters) -> NDArray[np.int64]:
    """Filters fused boxes by score and class, runs NMS as Mask R-CNN does, keeps the best `max_detections`."""
    wanted = fused.scores >= parameters.score_threshold
    if parameters.class_ids is not None:
        wanted &= np.isin(fused.class_ids, parameters.class_ids)
    likely = np.flatnonzero(wanted)
    boxes, scores, class_ids = (torch.from_numpy(part[likely]) for part in (fused.boxes, fused.scores, fused.class_ids))
    kept: NDArray[np.int64] = suppress(boxes, scores, class_ids, OVERLAP)[: parameters.max_detections].numpy()
    return likely[kept]


def _masks(
    fused: FusedBoxes,
    kept: NDArray[np.int64],
    found: Sequence[FoundBoxes],
    rows: Sequence[NDArray[np.int64]],
    item: AugmentedInput,
    outputs: Sequence[RegionMasks],
) -> tuple[Mask, ...]:
    """The mask of each kept object: the mean of its views', weighted by their scores."""
    wanted: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)  # by view: (place in kept, row of the view)
    indices: list[int] = kept.tolist()
    for place, index in enumerate(indices):
        for view, row in fused.members[index]:
            wanted[view].append((place, row))
    sums: Tensor | None = None
    weights = np.zeros(len(kept), np.float32)
    for view, members in wanted.items():
        places, its_rows = (np.array(part, np.int64) for part in zip(*members, strict=True))
        cells = outputs[view].masks_of(torch.from_numpy(rows[view][its_rows]))
        if item.kinds[view].mirrored:
            cells = cells.flip(2)
        if sums is None:
            side = _FINER * cells.shape[-1]
            sums = torch.zeros(len(kept), side, side)
        scores = found[view].scores[its_rows]
        moved = moved_cells(cells, found[view].boxes[its_rows], fused.boxes[kept][places], sums.shape[-1])
        sums.index_add_(0, torch.from_numpy(places), moved * torch.from_numpy(scores)[:, None, None])
        np.add.at(weights, places, scores)
    if sums is None:
        return ()
    means: Any = sums.numpy() / np.maximum(weights, np.finfo(np.float32).tiny)[:, None, None]
    return tuple(paste(cells, fused.boxes[index], item.image_size) for cells, index in zip(means, indices, strict=True))


def moved_cells(cells: Tensor, boxes: NDArray[np.float32], into: NDArray[np.float32], side: int) -> Tensor:
    """Resamples masks from the cells of their boxes to those of other boxes, bilinearly.

    Args:
        cells: (N, S, S) in [0, 1].
        boxes: (N, 4) x_min, y_min, x_max, y_max that these cover.
        into: (N, 4) boxes of the result.
        side: Cells a side of the result.

    Returns:
        (N, side, side); 0 outside of `boxes`.
    """
    own, other = torch.from_numpy(boxes).double(), torch.from_numpy(into).double()
    middles = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    places = other[:, None, :2] + (other[:, 2:] - other[:, :2])[:, None] * middles[:, None]
    # From pixels to grid_sample's -1 to 1, from edge to edge of its own box.
    shares = 2 * (places - own[:, None, :2]) / (own[:, 2:] - own[:, :2])[:, None] - 1
    columns, rows = shares[:, None, :, 0].expand(-1, side, -1), shares[:, :, None, 1].expand(-1, -1, side)
    return grid_sample(cells[:, None], torch.stack([columns, rows], 3).float(), align_corners=False)[:, 0]
