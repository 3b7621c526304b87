"""Average precision as COCO measures it, for the evaluation within a training run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.datasets.object_masks import CocoMasks
from models.datasets.photo_dataset import Photo, PhotoDataset
from models.metrics.coco.average_precision import CocoFigures, coco_state
from models.metrics.coco.image_results import GroundTruth, ImageResult, Predictions
from models.predictions import Detections, InstanceMasks
from models.training.coco import categories_of, read_document
from models.training.coco_objects import CocoObject, objects_of_photo, rows_by_image

_FIGURES: Final = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
_PART: Final = 64
"""Photos whose predictions are in memory at a time."""


def average_precision(
    dataset: PhotoDataset, predictions: Iterable[Detections], masks: bool = False, max_detections: int = 100
) -> dict[str, float]:
    """Measures detections against a data set.

    Args:
        dataset: The photos that were looked at.
        predictions: One for every photo, in the same order; `InstanceMasks` where masks are to be measured.
        masks: Whether overlap is that of masks, and not of boxes.
        max_detections: The best of a photo and a class that count; COCO's own figures count 100.

    Returns:
        `map` (mean over IoU thresholds from 0.50 to 0.95), `map_50`, `map_75`, and that of small (up to 32² pixels),
        medium and large (from 96² on) objects as `map_small`, `map_medium`, `map_large`; 0 to 1, NaN where there is no
        such object. See `models.metrics.coco.average_precision`.
    """
    class_ids = range(len(dataset.class_names))
    scenes = _results(dataset, predictions, masks)
    parts = iter(lambda: list(islice(scenes, _PART)), [])
    states = [coco_state(part, class_ids, masks, max_detections) for part in parts]
    figures = CocoFigures.of(states or [coco_state([], class_ids, masks, max_detections)]).headline()
    return {name: figures[name] for name in _FIGURES}


def _results(dataset: PhotoDataset, predictions: Iterable[Detections], masks: bool) -> Iterator[ImageResult]:
    annotations = None
    if dataset.source.is_file():
        annotations = _rows(dataset.source)
    for photo, prediction in zip(dataset.photos, predictions, strict=True):
        if annotations is None:
            targets = _of_photo(photo)
        else:
            rows = objects_of_photo(dataset.source, annotations.get(photo.image_id, ()), photo.size)
            targets = _of_file(photo, rows, dataset.category_ids, masks)
        shapes = prediction.masks if masks and isinstance(prediction, InstanceMasks) else None
        found = Predictions(
            prediction.boxes.astype(np.float64), prediction.class_ids, prediction.scores.astype(np.float64), shapes
        )
        yield ImageResult(photo.image_id, photo.size, targets, found)


def _rows(path: Path) -> Mapping[int, Sequence[tuple[int, Mapping[str, Any]]]]:
    """The annotations of all photos, each with its place in the file."""
    document = read_document(path)
    return rows_by_image(path, document, categories_of(path, document))


def _of_file(photo: Photo, found: Sequence[CocoObject], category_ids: tuple[int, ...], masks: bool) -> GroundTruth:
    """As the file has them: areas are its own, and crowds are among them, which may have boxes only."""
    objects = [item for item in found if item.category_id in category_ids]
    return GroundTruth(
        np.array([item.box for item in objects], np.float64).reshape(-1, 4),
        np.array([category_ids.index(item.category_id) for item in objects], np.int64),
        np.array([item.area(photo.size) for item in objects], np.float64),
        np.array([item.crowd for item in objects], np.bool_),
        tuple(CocoMasks(photo.size, [item.shape for item in objects]).objects()) if masks else None,
    )


def _of_photo(photo: Photo) -> GroundTruth:
    assert photo.masks is not None
    shapes = tuple(photo.masks.objects())
    return GroundTruth(
        photo.boxes.astype(np.float64),
        photo.class_ids,
        np.array([mask.area for mask in shapes], np.float64),
        np.zeros(len(shapes), np.bool_),
        shapes,
    )
