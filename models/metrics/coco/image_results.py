"""Ground truth and predictions of one image, the input of COCO's metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.entries.skeletons import Skeleton
from models.geometry.boxes import with_sizes
from models.geometry.masks import Mask

_BOXES_ONLY: Final = "masks are to be measured, but an image has boxes only"

Chosen = NDArray[np.bool_] | NDArray[np.int64]
"""Selects from N objects: a mask (N,) bool, or the indices of M of them."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The ground-truth objects of one image.

    Attributes:
        boxes: (N, 4) float64, x_min, y_min, x_max, y_max in pixels.
        class_ids: (N,) int64, at least 0.
        areas: (N,) float64 in pixels, as annotated: of the mask where there is one, and not of the box.
        crowds: (N,) bool, COCO's `iscrowd`, a region of many objects: predictions matched to it are ignored.
        masks: N, or None where only boxes are known.
        key_points: (N, K, 3) float64, x and y in pixels and COCO's visibility (0 not labelled, 1 hidden, 2 visible); or
            None where they are not measured.
        skeleton: Of the key points; None where that is not known.
    """

    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    masks: tuple[Mask, ...] | None = None
    key_points: NDArray[np.float64] | None = None
    skeleton: Skeleton | None = None

    def __post_init__(self) -> None:
        count = len(self.class_ids)
        shapes = self.boxes.shape, self.class_ids.shape, self.areas.shape, self.crowds.shape
        if shapes != ((count, 4), (count,), (count,), (count,)):
            raise ValueError(f"boxes, class_ids, areas and crowds must be (N, 4), (N,), (N,) and (N,), not {shapes}")
        if self.masks is not None and len(self.masks) != count:
            raise ValueError(f"expected {count} masks, not {len(self.masks)}")
        if self.key_points is not None and self.key_points.shape[::2] != (count, 3):
            raise ValueError(f"key_points must be (N, K, 3) for {count} objects, not {self.key_points.shape}")

    def only(self, chosen: Chosen) -> GroundTruth:
        """Some of the objects."""
        masks = _some(self.masks, chosen)
        points = None if self.key_points is None else self.key_points[chosen]
        arrays = (self.boxes[chosen], self.class_ids[chosen], self.areas[chosen], self.crowds[chosen])
        return GroundTruth(*arrays, masks, points, self.skeleton)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predicted objects of one image, in any order; equal scores keep their order when sorted.

    Attributes:
        boxes: (N, 4) float64, x_min, y_min, x_max, y_max in pixels; not used where masks are measured.
        class_ids: (N,) int64, at least 0.
        scores: (N,) float64, 0 to 1.
        masks: N, or None where only boxes are known.
        key_points: (N, K, 2) float64, x and y in pixels; or None where they are not measured.
    """

    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    masks: tuple[Mask, ...] | None = None
    key_points: NDArray[np.float64] | None = None

    def only(self, chosen: Chosen) -> Predictions:
        """Some of the objects."""
        masks = _some(self.masks, chosen)
        points = None if self.key_points is None else self.key_points[chosen]
        return Predictions(self.boxes[chosen], self.class_ids[chosen], self.scores[chosen], masks, points)

    def counted(self, max_detections: int) -> tuple[Predictions, NDArray[np.int64]]:
        """Keeps the `max_detections` highest scores of each class.

        Args:
            max_detections: Of each class.

        Returns:
            Class by class, each by descending score; and for each its rank in its class, from 0.
        """
        order = np.lexsort((-self.scores, self.class_ids))
        class_ids = self.class_ids[order]
        places = np.arange(len(order)) - np.searchsorted(class_ids, class_ids)
        kept = places < max_detections
        return self.only(order[kept]), places[kept]


@dataclass(frozen=True, eq=False)
class ImageResult:
    """Ground truth and predictions of one image.

    Attributes:
        image_id: Unique in its data set, at least 0. Equal scores rank by it, as in COCO's tools.
        size: (height, width) in pixels, of its masks, too.
        targets: The ground truth.
        predictions: The predictions.
    """

    image_id: int
    size: tuple[int, int]
    targets: GroundTruth
    predictions: Predictions

    def of_classes(self, class_ids: Sequence[int]) -> ImageResult:
        """Keeps the objects of some classes."""
        targets, predictions = self.targets, self.predictions
        known, asked = np.isin(targets.class_ids, class_ids), np.isin(predictions.class_ids, class_ids)
        return ImageResult(self.image_id, self.size, targets.only(known), predictions.only(asked))


def run_lengths(objects: GroundTruth | Predictions) -> list[dict[str, Any]]:
    """The masks of objects as COCO's RLE.

    Raises:
        ValueError: They have none.
    """
    if objects.masks is None:
        raise ValueError(_BOXES_ONLY)
    return [mask.to_coco() for mask in objects.masks]


def overlaps(result: ImageResult, masks: bool) -> NDArray[np.float64]:
    """(N, M) IoU of N predictions with M targets; with a crowd, intersection over the area of the prediction.

    Raises:
        ValueError: Masks are to be measured, and there are boxes only.
    """
    from hotcoco import primitives

    targets, predictions = result.targets, result.predictions
    if masks:
        return primitives.mask_iou(run_lengths(predictions), run_lengths(targets), targets.crowds)
    return primitives.bbox_iou(with_sizes(predictions.boxes), with_sizes(targets.boxes), targets.crowds)


def prediction_areas(predictions: Predictions, masks: bool) -> NDArray[np.float64]:
    """(N,) in pixels, of masks or of boxes.

    Raises:
        ValueError: Masks are to be measured, and there are boxes only.
    """
    if not masks:
        return np.prod(predictions.boxes[:, 2:] - predictions.boxes[:, :2], 1)
    if predictions.masks is None:
        raise ValueError(_BOXES_ONLY)
    return np.array([mask.area for mask in predictions.masks], np.float64)


def _some(masks: tuple[Mask, ...] | None, chosen: Chosen) -> tuple[Mask, ...] | None:
    if masks is None:
        return None
    indices: list[int] = np.arange(len(masks))[chosen].tolist()
    return tuple(masks[index] for index in indices)
