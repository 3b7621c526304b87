"""Weighted boxes fusion (Solovyev, Wang & Gabruseva 2019, arXiv:1910.13302): merges the boxes of several predictions.

Where NMS keeps the best box of an object, fusion averages all of them, so that every prediction has a say in the
place. An object that only some of the predictions have loses score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

IOU_THRESHOLD: Final = 0.55
"""Boxes that overlap a fused box by more belong to it; the paper's default."""


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """The boxes of one prediction.

    Attributes:
        boxes: (N, 4) x_min, y_min, x_max, y_max in pixels.
        scores: (N,) in [0, 1], in any order.
        class_ids: (N,) int64.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FusedBoxes(FoundBoxes):
    """Fused boxes, by descending score.

    Attributes:
        members: For each, the boxes that it was fused from: (prediction, index in it), the best score first.
    """

    members: tuple[tuple[tuple[int, int], ...], ...]


def fuse(predictions: Sequence[FoundBoxes], iou_threshold: float = IOU_THRESHOLD) -> FusedBoxes:
    """Fuses the boxes of several predictions for one image, each class by itself.

    By descending score, a box joins the fused box of its class that it overlaps most, or starts a new one. A fused box
    is the mean of its boxes, weighted by their scores; its score is their mean score times min(T, N) / N, of T boxes
    and N predictions.

    Args:
        predictions: At least one.
        iou_threshold: A box joins where its IoU is greater, 0 to 1.

    Returns:
        The fused boxes; those of a single prediction without overlaps are its own.
    """
    places = [(number, row) for number, found in enumerate(predictions) for row in range(len(found.scores))]
    boxes = np.concatenate([found.boxes for found in predictions]).astype(np.float64)
    scores = np.concatenate([found.scores for found in predictions]).astype(np.float64)
    class_ids = np.concatenate([found.class_ids for found in predictions])
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    fused = np.zeros_like(boxes)
    weights, counts = np.zeros(len(boxes)), np.zeros(len(boxes), np.int64)
    classes = np.full(len(boxes), -1, np.int64)
    members: list[list[tuple[int, int]]] = []
    for row in order:
        count = len(members)
        overlaps = np.where(classes[:count] == class_ids[row], _overlaps(fused[:count], boxes[row]), 0.0)
        best = int(overlaps.argmax()) if count else 0
        if not count or not overlaps[best] > iou_threshold:
            best = count
            classes[best] = class_ids[row]
            members.append([])
        # A mean with the weights so far; of boxes without any score, the plain one.
        total = weights[best] + scores[row]
        share = scores[row] / total if total > 0 else 1 / (counts[best] + 1)
        fused[best] += (boxes[row] - fused[best]) * share
        weights[best], counts[best] = total, counts[best] + 1
        members[best].append(places[row])
    kept = len(members)
    means = weights[:kept] / np.maximum(counts[:kept], 1)
    final = means * np.minimum(counts[:kept], len(predictions)) / len(predictions)
    best_first: list[int] = np.argsort(-final, kind="stable").tolist()
    return FusedBoxes(
        fused[best_first].astype(np.float32),
        final[best_first].astype(np.float32),
        classes[best_first],
        tuple(tuple(members[index]) for index in best_first),
    )


def _overlaps(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of (N, 4) boxes with one; 0 where both have no area."""
    sides = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    shared = sides.clip(0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared
    return np.divide(shared, union, out=np.zeros(len(boxes)), where=union > 0)
