"""Weighted boxes fusion (Solovyev, Wang & Gabruseva 2019, arXiv:1910.13302): merges the boxes of several predictions.

NMS keeps the best box of an object; fusion averages all of its boxes. An object that only some of the predictions have
loses score.
"""

from collections import Counter
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
    of_class = {class_id: _FusedOfClass(count) for class_id, count in Counter[int](class_ids.tolist()).items()}
    for row in order:
        same = of_class[int(class_ids[row])]
        best = same.best(boxes[row], iou_threshold)
        if best is None:
            best = len(members)
            classes[best] = class_ids[row]
            members.append([])
            same.add(best)
        # A mean with the weights so far; of boxes without any score, the plain one.
        total = weights[best] + scores[row]
        share = scores[row] / total if total > 0 else 1 / (counts[best] + 1)
        fused[best] += (boxes[row] - fused[best]) * share
        weights[best], counts[best] = total, counts[best] + 1
        same.move(best, fused[best])
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


class _FusedOfClass:
    """The fused boxes of one class, a row for each edge: a box is compared with all of them in a few operations.

    Args:
        most: The most fused boxes that there can be.
    """

    def __init__(self, most: int) -> None:
        self._edges = np.zeros((4, most))
        self._areas = np.zeros(most)
        self._indices: dict[int, int] = {}
        self._names: list[int] = []

    def add(self, name: int) -> None:
        """Adds a fused box, which `move` places."""
        self._indices[name] = len(self._names)
        self._names.append(name)

    def move(self, name: int, box: NDArray[np.float64]) -> None:
        """Sets x_min, y_min, x_max, y_max of a fused box."""
        index = self._indices[name]
        self._edges[:, index] = box
        self._areas[index] = (box[2] - box[0]) * (box[3] - box[1])

    def best(self, box: NDArray[np.float64], iou_threshold: float) -> int | None:
        """The fused box with the highest IoU; None where none exceeds the threshold."""
        count = len(self._names)
        if not count:
            return None
        left, top, right, bottom = self._edges[:, :count]
        x_min, y_min, x_max, y_max = box.tolist()
        shared = np.maximum(np.minimum(right, x_max) - np.maximum(left, x_min), 0.0)
        shared *= np.maximum(np.minimum(bottom, y_max) - np.maximum(top, y_min), 0.0)
        union = self._areas[:count] + (x_max - x_min) * (y_max - y_min) - shared
        overlaps = np.divide(shared, union, out=np.zeros(count), where=union > 0)
        index = int(overlaps.argmax())
        return self._names[index] if overlaps[index] > iou_threshold else None
