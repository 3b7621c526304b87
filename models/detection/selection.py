"""Selects detections: filters by score and class, runs NMS, keeps the best.

Boxes are (N, 4) float tensors of x_min, y_min, x_max, y_max in pixels, unless said otherwise.
"""

# pyright: reportMissingTypeStubs=false

import torch
from torch import Tensor
from torchvision.ops import box_iou, nms

from models.detection.candidates import Candidates
from models.parameters import ObjectParameters


def iou(some: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of every two boxes.

    Args:
        some: (N, 4).
        others: (M, 4).

    Returns:
        (N, M) in [0, 1]; 0 where both boxes have no area.
    """
    return box_iou(some, others).nan_to_num(0.0)


def are_boxes(boxes: Tensor) -> Tensor:
    """Selects boxes that are finite and have an area.

    Args:
        boxes: (N, 4).

    Returns:
        (N,) bool: true where all four numbers are finite and the box has an area.
    """
    return boxes.isfinite().all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)


def suppress(boxes: Tensor, scores: Tensor, class_ids: Tensor | None, iou_threshold: float) -> Tensor:
    """Non-maximum suppression: of boxes that overlap, keeps the one with the best score.

    Classes are kept apart by moving them apart. That is done in float64: in float32, as torchvision's `batched_nms`
    does it, a box of class 80 would be rounded to 1/128 of a pixel at 1333 pixels a side.

    Args:
        boxes: (N, 4), finite.
        scores: (N,).
        class_ids: (N,) int64; boxes of different classes do not suppress each other. None where they do.
        iou_threshold: A box goes where its IoU with a better one that stays is greater than this, 0 to 1.

    Returns:
        (K,) int64 indices of those that stay, the best first; of equal scores the earlier one first.
    """
    boxes = boxes.double()
    if class_ids is not None and len(boxes):
        low, high = boxes.aminmax()
        boxes = boxes + (class_ids * (high - low + 1))[:, None]
    return nms(boxes, scores.double(), iou_threshold)


def select(candidates: Candidates, parameters: ObjectParameters) -> Candidates:
    """Filters by score and class, runs NMS, keeps the best `max_detections`.

    Args:
        candidates: Of one image, in any pixels; boxes that are not finite or have no area are dropped.
        parameters: The request's.

    Returns:
        Those that stay, the best first.
    """
    wanted = candidates.scores >= parameters.score_threshold
    if parameters.class_ids is not None:
        wanted &= torch.isin(candidates.class_ids, torch.tensor(parameters.class_ids, dtype=torch.int64))
    likely = candidates[wanted & are_boxes(candidates.boxes)]
    class_ids = None if parameters.class_agnostic else likely.class_ids
    kept = suppress(likely.boxes, likely.scores, class_ids, parameters.iou_threshold)
    return likely[kept[: parameters.max_detections]]
