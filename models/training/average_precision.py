"""Average precision as COCO measures it, for the evaluation within a training run."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import numpy as np

from models.metrics.coco import CocoFigures, coco_state
from models.metrics.coco_scenes import Found, Scene, Targets
from models.predictions import Detections, InstanceMasks
from models.training.object_masks import CocoMasks, rectangle
from models.training.photo_dataset import Photo, PhotoDataset

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
        such object. See `models.metrics.coco`.
    """
    class_ids = range(len(dataset.class_names))
    scenes = _scenes(dataset, predictions, masks)
    parts = iter(lambda: list(islice(scenes, _PART)), [])
    states = [coco_state(part, class_ids, masks, max_detections) for part in parts]
    figures = CocoFigures.of(states or [coco_state([], class_ids, masks, max_detections)]).headline()
    return {name: figures[name] for name in _FIGURES}


def _scenes(dataset: PhotoDataset, predictions: Iterable[Detections], masks: bool) -> Iterator[Scene]:
    annotations = _annotations(dataset) if dataset.source.is_file() else None
    for photo, prediction in zip(dataset.photos, predictions, strict=True):
        if annotations is None:
            targets = _of_photo(photo)
        else:
            targets = _of_file(photo, annotations.get(photo.image_id, []), dataset.category_ids, masks)
        shapes = prediction.masks if masks and isinstance(prediction, InstanceMasks) else None
        found = Found(
            prediction.boxes.astype(np.float64), prediction.class_ids, prediction.scores.astype(np.float64), shapes
        )
        yield Scene(photo.image_id, photo.size, targets, found)


def _annotations(dataset: PhotoDataset) -> dict[int, list[Mapping[str, Any]]]:
    """By photo, those of the annotation file whose classes are measured."""
    document: Mapping[str, Any] = json.loads(dataset.source.read_bytes())
    wanted = set(dataset.category_ids)
    by_photo: dict[int, list[Mapping[str, Any]]] = {}
    for row in document["annotations"]:
        if row["category_id"] in wanted:
            by_photo.setdefault(row["image_id"], []).append(row)
    return by_photo


def _of_file(photo: Photo, rows: list[Mapping[str, Any]], category_ids: tuple[int, ...], masks: bool) -> Targets:
    """As the file has them: areas are its own, and crowds are among them, which may have boxes only."""
    boxes = np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    shapes = [row.get("segmentation") or rectangle(box) for row, box in zip(rows, boxes.tolist(), strict=True)]
    return Targets(
        boxes,
        np.array([category_ids.index(row["category_id"]) for row in rows], np.int64),
        np.array([row["area"] for row in rows], np.float64),
        np.array([row.get("iscrowd", 0) for row in rows], np.bool_),
        tuple(CocoMasks(photo.size, shapes).objects()) if masks else None,
    )


def _of_photo(photo: Photo) -> Targets:
    assert photo.masks is not None
    shapes = tuple(photo.masks.objects())
    return Targets(
        photo.boxes.astype(np.float64),
        photo.class_ids,
        np.array([mask.area for mask in shapes], np.float64),
        np.zeros(len(shapes), np.bool_),
        shapes,
    )
