"""Decodes instance masks: of prototypes (YOLACT, arXiv:1904.02689; YOLOv8) and of whole maps (torchvision).

The mask of an object is sampled bilinearly at the centres of S × S cells of its box. S is chosen so that cells are no
larger than those of the map that is sampled.
"""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from functools import partial
from math import ceil
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from models.detection.candidates import Candidates
from models.detection.selection import are_boxes, suppress
from models.execution.finite import require_finite
from models.outputs.finished_boxes import finished_objects
from models.outputs.ranked import require_class_ids
from models.outputs.shapes import one, shapes_of
from models.outputs.yolo_boxes import likely_columns
from models.segmentation.mask_rcnn_regions import MAX_OBJECTS, OVERLAP, SCORE_FLOOR, RegionMasks

PROTOTYPES: Final = 32
"""Prototypes of every published YOLO for segmentation."""
_FEWEST_CELLS: Final = 14
_MOST_CELLS: Final = 160
"""Cells a side: that of the prototypes of an input of 640 pixels."""
_AT_ONCE: Final = 32
"""Masks that are computed at once: 3 MB of maps of 160 x 160."""


def decode_prototypes(outputs: Sequence[Tensor], size: tuple[int, int], class_count: int) -> list[RegionMasks]:
    """Decodes (N, 4 + C + 32, A) and prototypes (N, 32, h, w); see `models.outputs.layouts.Decode`."""
    width = 4 + class_count + PROTOTYPES
    raw = one(outputs, lambda output: output.ndim == 3 and output.shape[1] == width, f"(N, {width}, A)")
    found = _prototypes(outputs)
    every = likely_columns(raw, class_count)
    return [
        _with_prototypes(candidates, coefficients, maps, size)
        for (candidates, coefficients), maps in zip(every, found, strict=True)
    ]


def decode_end_to_end_prototypes(
    outputs: Sequence[Tensor], size: tuple[int, int], class_count: int
) -> list[RegionMasks]:
    """Decodes (N, K, 6 + 32) and prototypes (N, 32, h, w); see `models.outputs.layouts.Decode`."""
    width = 6 + PROTOTYPES
    raw = one(outputs, lambda output: output.ndim == 3 and output.shape[2] == width, f"(N, K, {width})").float().cpu()
    found: list[RegionMasks] = []
    for rows, maps in zip(raw, _prototypes(outputs), strict=True):
        likely = rows[rows[:, 4] >= SCORE_FLOOR]
        candidates = Candidates(likely[:, :4], likely[:, 4], likely[:, 5].long())
        require_class_ids(candidates.class_ids, class_count)
        found.append(_with_prototypes(candidates, likely[:, 6:], maps, size))
    return found


def decode_torchvision_masks(
    outputs: Sequence[Tensor], size: tuple[int, int], class_count: int, first_label: int = 1
) -> list[RegionMasks]:
    """Decodes boxes (K, 4), labels (K), scores (K) and mask probabilities (K, 1, H, W) of one image.

    See `models.outputs.layouts.Decode` and `models.outputs.finished_boxes.decode_torchvision`.
    """
    maps = one(outputs, lambda output: output.ndim == 4 and output.shape[1] == 1, "masks (K, 1, H, W)")[:, 0]
    every = finished_objects(outputs, first_label)
    if len(maps) != len(every):
        raise ValueError(f"the network returns {shapes_of(outputs)}, and this layout needs tensors of one length")
    require_class_ids(every.class_ids[every.scores >= SCORE_FLOOR], class_count)
    objects, kept = _selected(every)
    return [RegionMasks(objects, partial(_map_masks, maps[kept.to(maps.device)].cpu(), objects, size))]


def _prototypes(outputs: Sequence[Tensor]) -> Tensor:
    expected = f"prototypes (N, {PROTOTYPES}, h, w)"
    return one(outputs, lambda output: output.ndim == 4 and output.shape[1] == PROTOTYPES, expected).float().cpu()


def _with_prototypes(candidates: Candidates, coefficients: Tensor, maps: Tensor, size: tuple[int, int]) -> RegionMasks:
    objects, kept = _selected(candidates)
    return RegionMasks(objects, partial(_prototype_masks, maps, coefficients[kept], objects, size))


def _selected(candidates: Candidates) -> tuple[Candidates, Tensor]:
    """Filters by score and runs NMS as Mask R-CNN does: the objects that get masks, and their indices."""
    likely = ((candidates.scores >= SCORE_FLOOR) & are_boxes(candidates.boxes)).nonzero().flatten()
    some = candidates[likely]
    kept = likely[suppress(some.boxes, some.scores, some.class_ids, OVERLAP)[:MAX_OBJECTS]]
    return candidates[kept], kept


@torch.inference_mode()
def _prototype_masks(
    maps: Tensor, coefficients: Tensor, objects: Candidates, size: tuple[int, int], wanted: Tensor
) -> Tensor:
    """Masks of (M,) objects, (M, S, S), from (32, h, w) prototypes and (K, 32) coefficients."""
    boxes = objects.boxes[wanted]
    side = _cells_a_side(boxes, size, (maps.shape[1], maps.shape[2]))
    found = [boxes.new_zeros(0, side, side)]
    for some, its_boxes in zip(torch.split(wanted, _AT_ONCE), torch.split(boxes, _AT_ONCE), strict=True):
        logits = (coefficients[some] @ maps.flatten(1)).reshape(-1, *maps.shape[1:])
        found.append(_sampled(logits, its_boxes, size, side).sigmoid())
    cells = torch.cat(found)
    require_finite(cells)
    return cells


@torch.inference_mode()
def _map_masks(maps: Tensor, objects: Candidates, size: tuple[int, int], wanted: Tensor) -> Tensor:
    """Masks of (M,) objects, (M, S, S), from (K, h, w) probabilities in the whole input."""
    boxes = objects.boxes[wanted]
    side = _cells_a_side(boxes, size, (maps.shape[1], maps.shape[2]))
    cells = _sampled(maps[wanted].float(), boxes, size, side).clamp(0, 1)
    require_finite(cells)
    return cells


def _cells_a_side(boxes: Tensor, size: tuple[int, int], map_size: tuple[int, int]) -> int:
    """Cells a side with which those of the largest of (M, 4) boxes are about as fine as the map."""
    if not len(boxes):
        return _FEWEST_CELLS
    cells = (boxes[:, 2:] - boxes[:, :2]).amax(0) * boxes.new_tensor(map_size[::-1]) / boxes.new_tensor(size[::-1])
    return min(max(ceil(float(cells.max())), _FEWEST_CELLS), _MOST_CELLS)


def _sampled(maps: Tensor, boxes: Tensor, size: tuple[int, int], side: int) -> Tensor:
    """Samples (M, h, w) maps, which cover an input of a (height, width), in (M, 4) boxes of it: (M, side, side)."""
    shares = (torch.arange(side, dtype=torch.float32) + 0.5) / side
    start, extent = boxes[:, None, :2], (boxes[:, 2:] - boxes[:, :2])[:, None]
    # From pixels to grid_sample's -1 to 1, from edge to edge.
    places = (start + extent * shares[:, None]) * (2 / boxes.new_tensor(size[::-1])) - 1
    columns, rows = places[:, None, :, 0].expand(-1, side, -1), places[:, :, None, 1].expand(-1, -1, side)
    grid = torch.stack([columns, rows], 3)
    return functional.grid_sample(maps[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
