"""The loss of YOLOX for one batch."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot
from torchvision.ops import complete_box_iou_loss

from models.detection.grid import boxes_of, cells, flatten
from models.training.assignment import assign
from models.training.targets import Target

_BOX_WEIGHT: Final = 5.0
"""Of the box against the rest, as in YOLOX."""


def yolox_loss(levels: Sequence[Tensor], targets: Sequence[Target]) -> dict[str, Tensor]:
    """Computes the loss.

    The objectness learns how well the cell's box fits (the quality that `models.training.assignment` gives), as in
    later detectors, where YOLOX asks for 1: then the score ranks boxes by how good they are.

    Args:
        levels: Raw maps of the network, see `models.detection.yolox.Yolox`.
        targets: One for every image.

    Returns:
        `box`, `objectness` and `class`: scalars to be added up.
    """
    places = cells(levels)
    centres = (places[:, :2] + 0.5) * places[:, 2:]
    raw = flatten(levels)
    boxes = boxes_of(raw, places)
    objectness, classes = raw[..., 4], raw[..., 5:]
    scores = (objectness.sigmoid()[..., None] * classes.sigmoid()).detach()

    wanted = torch.zeros_like(objectness)
    counted = torch.ones_like(objectness)
    zero = raw.sum() * 0.0
    box_loss, class_loss, quality_sum = zero, zero, 0.0
    for index, target in enumerate(targets):
        found = assign(boxes[index].detach(), scores[index], centres, target.boxes, target.class_ids)
        counted[index] = ~_within_any(centres, target.crowds)
        counted[index, found.cells] = 1.0
        wanted[index, found.cells] = found.quality
        if not len(found.cells):
            continue
        quality_sum += float(found.quality.sum())
        framed = complete_box_iou_loss(boxes[index, found.cells], target.boxes[found.objects])
        box_loss = box_loss + (framed * found.quality).sum()
        truth = one_hot(target.class_ids[found.objects], classes.shape[2]).float()
        named = binary_cross_entropy_with_logits(classes[index, found.cells], truth, reduction="none").sum(1)
        class_loss = class_loss + (named * found.quality).sum()
    objects = binary_cross_entropy_with_logits(objectness, wanted, counted, reduction="sum")
    total = max(quality_sum, 1.0)
    return {"box": _BOX_WEIGHT * box_loss / total, "objectness": objects / total, "class": class_loss / total}


def _within_any(points: Tensor, boxes: Tensor) -> Tensor:
    inside = (points[None] > boxes[:, None, :2]) & (points[None] < boxes[:, None, 2:])
    return inside.all(2).any(0)
