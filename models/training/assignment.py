"""Label assignment of one-stage detectors: task-aligned assignment.

Source: TOOD (arXiv:2108.07755, section 3.2): an object goes to the cells which already score it high and frame it well.
"""

# pyright: reportMissingTypeStubs=false

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torchvision.ops import box_iou

_CELLS_PER_OBJECT: Final = 10
_SCORE_POWER: Final = 0.5
_IOU_POWER: Final = 6.0
"""TOOD itself takes 13 cells and powers of 1 and 6; the two were not compared here."""
_LEAST_HALF_SIDE: Final = 6.0
"""An object counts as at least so large (half a side, in pixels) when its cells are sought: each has a few."""


@dataclass(frozen=True, eq=False)
class Assignment:
    """What the cells of one image are to learn.

    Attributes:
        cells: (P,) int64, the cells that have an object.
        objects: (P,) int64, which one.
        quality: (P,) float32 in [0, 1], the score that the cell should give it.
    """

    cells: Tensor
    objects: Tensor
    quality: Tensor


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, centres: Tensor, target_boxes: Tensor, target_classes: Tensor) -> Assignment:
    """Assigns the objects of one image.

    Args:
        boxes: (A, 4) what the cells predict now, in pixels.
        scores: (A, class_count) how they score it now, 0 to 1.
        centres: (A, 2) x and y of the cells' centres in pixels.
        target_boxes: (M, 4) the objects.
        target_classes: (M,) int64.

    Returns:
        The assignment; a cell has one object at most, an object may have none.
    """
    if not len(target_boxes):
        none = torch.zeros(0, dtype=torch.int64, device=boxes.device)
        return Assignment(none, none, torch.zeros(0, device=boxes.device))
    near = torch.nonzero(_lies_in(centres, target_boxes).any(0)).squeeze(1)
    overlap = box_iou(target_boxes, boxes[near])
    inside = _lies_in(centres[near], target_boxes)
    alignment = scores[near].T[target_classes].pow(_SCORE_POWER) * overlap.pow(_IOU_POWER) * inside
    best, order = alignment.topk(min(_CELLS_PER_OBJECT, len(near)), dim=1)
    taken = torch.zeros_like(inside).scatter_(1, order, best > 0)
    owner = (overlap * taken).argmax(0)
    owned = torch.nonzero(taken.any(0)).squeeze(1)
    objects = owner[owned]
    mine = torch.zeros_like(taken)
    mine[objects, owned] = True
    alignment, overlap = alignment * mine, overlap * mine
    scale = overlap.amax(1) / alignment.amax(1).clamp(min=1e-9)
    quality = (alignment[objects, owned] * scale[objects]).clamp(0, 1)
    return Assignment(near[owned], objects, quality)


def _lies_in(points: Tensor, boxes: Tensor) -> Tensor:
    """(M, P) bool: which points lie in which boxes, each box taken as at least so large."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    distance = (points[None] - centre[:, None]).abs()
    return (distance < half.clamp(min=_LEAST_HALF_SIDE)[:, None]).all(2)
