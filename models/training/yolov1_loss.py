"""The loss of the first YOLO for one batch."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot
from torchvision.ops import box_area, box_iou

from models.detection.yolov1 import CELL, SIDE, corners_of, read
from models.training.targets import Target

_COORDINATES: Final = 5.0
"""λ_coord: boxes count for more than the rest."""
_NO_OBJECT: Final = 0.5
"""λ_noobj: the many boxes without an object count for less."""


def yolov1_loss(raw: Tensor, targets: Sequence[Target], boxes_per_cell: int) -> dict[str, Tensor]:
    """Computes the loss: a sum of squared errors (arXiv:1506.02640, section 2.2, equation 3).

    In a cell that holds an object's centre, the box that overlaps it most is responsible for it. That box learns the
    object's place, the square roots of its size, and as its confidence the IoU that it has; all other boxes learn a
    confidence of 0. The cell learns the object's class. Of several objects in one cell only the largest is learnt.

    Args:
        raw: (N, R, C, 5 boxes_per_cell + class_count), see `models.detection.yolov1.YoloV1.forward`.
        targets: One for every image.
        boxes_per_cell: The network's.

    Returns:
        `coordinates`, `confidence`, `no_object` and `class`: scalars to be added up, each a mean over the images.
    """
    predictions = read(raw, boxes_per_cell)
    truth = _objects_of_cells(targets, corners_of(raw))
    cells = truth.images, truth.rows, truth.columns
    offsets = predictions.places[cells] - truth.places[:, None]
    overlaps = _iou_of_each(truth.boxes, predictions.boxes[cells].detach())
    each, responsible = torch.arange(len(overlaps), device=raw.device), _responsible(overlaps, offsets.detach())

    confidences = predictions.confidences
    empty = _counted(targets, corners_of(raw))[..., None].repeat(1, 1, 1, boxes_per_cell)
    empty[(*cells, responsible)] = 0.0
    missed = confidences[cells][each, responsible] - overlaps[each, responsible]
    named = predictions.classes[cells] - one_hot(truth.class_ids, predictions.classes.shape[-1])
    sums = {
        "coordinates": _COORDINATES * offsets[each, responsible].square().sum(),
        "confidence": missed.square().sum(),
        "no_object": _NO_OBJECT * (confidences.square() * empty).sum(),
        "class": named.square().sum(),
    }
    return {name: value / len(targets) for name, value in sums.items()}


class _Objects(NamedTuple):
    """The objects of a batch that have a cell to themselves.

    Attributes:
        images, rows, columns: (M,) int64, the cell of each.
        boxes: (M, 4) in pixels.
        places: (M, 4), what the network should say of them: the centre from the cell's corner in cells, and the square
            roots of width and height as shares of 448 pixels.
        class_ids: (M,) int64.
    """

    images: Tensor
    rows: Tensor
    columns: Tensor
    boxes: Tensor
    places: Tensor
    class_ids: Tensor


def _objects_of_cells(targets: Sequence[Target], corners: Tensor) -> _Objects:
    """Finds the cell of each object, and for each cell the largest; `corners` are (R, C, 2)."""
    device = corners.device
    counts = torch.tensor([len(target.boxes) for target in targets], device=device)
    images = torch.arange(len(targets), device=device).repeat_interleave(counts)
    boxes = torch.cat([target.boxes for target in targets])
    class_ids = torch.cat([target.class_ids for target in targets])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / CELL
    last = torch.tensor([corners.shape[1] - 1, corners.shape[0] - 1], device=device)
    columns, rows = centres.long().clamp(min=torch.zeros_like(last), max=last).unbind(1)

    largest_first = box_area(boxes).argsort(descending=True, stable=True)
    cells = ((images * corners.shape[0] + rows) * corners.shape[1] + columns)[largest_first]
    none = len(boxes)
    first = torch.full((len(targets) * corners.shape[0] * corners.shape[1],), none, device=device)
    first = first.scatter_reduce(0, cells, torch.arange(none, device=device), "amin")
    kept = largest_first[first[first < none]]

    places = torch.cat([centres - torch.stack([columns, rows], 1), ((boxes[:, 2:] - boxes[:, :2]) / SIDE).sqrt()], 1)
    return _Objects(images[kept], rows[kept], columns[kept], boxes[kept], places[kept], class_ids[kept])


def _iou_of_each(truth: Tensor, boxes: Tensor) -> Tensor:
    """(M, 4) objects and (M, B, 4) boxes of their cells to (M, B)."""
    count = len(truth)
    every = box_iou(truth, boxes.flatten(0, 1)).view(count, count, boxes.shape[1])
    return every.diagonal().T


def _responsible(overlaps: Tensor, offsets: Tensor) -> Tensor:
    """(M,) int64: the box with the highest IoU or, where none overlaps, the one that is the least off."""
    nearness = -offsets.square().sum(2)
    return torch.where(overlaps.amax(1, keepdim=True) > 0, overlaps, nearness).argmax(1)


def _counted(targets: Sequence[Target], corners: Tensor) -> Tensor:
    """(N, R, C) float32: 0 for the cells whose centre lies in a crowd, else 1."""
    centres = (corners + 0.5) * CELL
    within = [
        (centres[..., None, :] > target.crowds[:, :2]) & (centres[..., None, :] < target.crowds[:, 2:])
        for target in targets
    ]
    return torch.stack([~image.all(-1).any(-1) for image in within]).float()
