"""The match of every prediction, the metric state of intervals, thresholds, confusion matrix and errors.

`models.metrics.coco.average_precision` computes average precision with a library that does not return its matches. Here
the same matching is done in numpy (`models.metrics.coco.matching`), and a few numbers a prediction are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

IN_CROWD: Final = -2
"""In place of a class: the prediction is matched to a crowd and ignored."""

AT_50: Final = 1
"""The bit of IoU 0.5 in `Matches.matched` and `ignored`."""

_OF_TARGETS: Final = ("target_images", "target_classes", "target_counts", "missed")


@dataclass(frozen=True, eq=False)
class Matches:
    """Matches of N predictions and G targets of I images.

    Predictions are ordered by image, then by class, then by descending score. Bit t of `matched` and `ignored` is for
    `IOU_THRESHOLDS[t]` of `models.metrics.coco.average_precision`, their columns for its `AREAS`.

    Attributes:
        image_ids: (I,) int64, ascending.
        images: (N,) int32, index of the image.
        class_ids: (N,) int32.
        scores: (N,) float64.
        places: (N,) int32, rank by score in its image and class, from 0.
        matched: (N, 4) uint16, whether it is matched to a target or a crowd.
        ignored: (N, 4) uint16, whether it is neither a true nor a false positive: matched to a crowd or to a target of
            another area range, or unmatched and itself of another area range.
        kinds: (N,) uint8, its TIDE error: see `models.metrics.coco.errors`.
        corrected_class: (N,) int32, the class in which it is a true positive once its error is corrected; -1 if none.
        confused_with: (N,) int32, the class of the target matched across classes, for a confusion matrix: see
            `models.metrics.coco.confusion`; -1 for the background, `IN_CROWD` where matched to a crowd.
        target_images: (G,) int32, index of the image.
        target_classes: (G,) int32.
        target_counts: (G, 4) bool, whether it is not ignored in that area range; a crowd always is.
        missed: (G,) bool, whether it is TIDE's error "missed".
    """

    image_ids: NDArray[np.int64]
    images: NDArray[np.int32]
    class_ids: NDArray[np.int32]
    scores: NDArray[np.float64]
    places: NDArray[np.int32]
    matched: NDArray[np.uint16]
    ignored: NDArray[np.uint16]
    kinds: NDArray[np.uint8]
    corrected_class: NDArray[np.int32]
    confused_with: NDArray[np.int32]
    target_images: NDArray[np.int32]
    target_classes: NDArray[np.int32]
    target_counts: NDArray[np.bool_]
    missed: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Matches]) -> Matches:
        """Concatenates the matches of chunks of a data set.

        Args:
            parts: At least one, of different images.

        Returns:
            The same as of all images at once, in whatever order the chunks are.

        Raises:
            ValueError: An image occurs twice.
        """
        columns = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        offsets = np.cumsum([0, *(len(part.image_ids) for part in parts)])[:-1]
        for name in ("images", "target_images"):
            sizes = [len(getattr(part, name)) for part in parts]
            columns[name] = columns[name] + np.repeat(offsets, sizes).astype(np.int32)
        return cls(**columns)._in_order()

    def _in_order(self) -> Matches:
        """Images ascending by id."""
        if np.all(np.diff(self.image_ids) > 0):
            return self
        order = np.argsort(self.image_ids, kind="stable")
        if np.any(twice := np.diff(self.image_ids[order]) == 0):
            raise ValueError(f"the image {self.image_ids[order][1:][twice][0]} is there twice")
        place = np.empty(len(order), np.int32)
        place[order] = np.arange(len(order))
        images, target_images = place[self.images], place[self.target_images]
        predictions, targets = np.argsort(images, kind="stable"), np.argsort(target_images, kind="stable")
        columns: dict[str, NDArray[Any]] = {**vars(self), "images": images, "target_images": target_images}
        orders = {name: targets if name in _OF_TARGETS else predictions for name in columns} | {"image_ids": order}
        return Matches(**{name: column[orders[name]] for name, column in columns.items()})

    def to_columns(self, prefix: str) -> dict[str, NDArray[Any]]:
        """Arrays by name, each beginning with `prefix`."""
        return {prefix + name: column for name, column in vars(self).items()}

    @classmethod
    def from_columns(cls, columns: dict[str, NDArray[Any]], prefix: str) -> Matches:
        """The inverse of `to_columns`."""
        return cls(**{field.name: columns[prefix + field.name] for field in fields(cls)})
