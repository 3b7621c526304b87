"""Average precision as COCO measures it, for the evaluation within a training run."""

from collections.abc import Iterable
from itertools import islice
from typing import Final

import numpy as np

from models.datasets.samples import ObjectTarget, Sample
from models.metrics.coco.average_precision import CocoFigures, coco_state
from models.metrics.coco.image_results import ImageResult, Predictions
from models.predictions import Detections, InstanceMasks

_FIGURES: Final = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large")
_PART: Final = 64
"""Photos whose predictions are in memory at a time."""


def average_precision(
    found: Iterable[tuple[Sample, Detections]], class_count: int, masks: bool = False, max_detections: int = 100
) -> dict[str, float]:
    """Measures detections against a data set.

    Args:
        found: Photos, with objects as targets, and their predictions; `InstanceMasks` where masks are to be measured.
        class_count: Of the data set.
        masks: Whether overlap is that of masks, and not of boxes.
        max_detections: The best of a photo and a class that count; COCO's own figures count 100.

    Returns:
        `map` (mean over IoU thresholds from 0.50 to 0.95), `map_50`, `map_75`, and that of small (up to 32² pixels),
        medium and large (from 96² on) objects as `map_small`, `map_medium`, `map_large`; 0 to 1, NaN where there is no
        such object. See `models.metrics.coco.average_precision`.
    """
    class_ids = range(class_count)
    results = (_result(sample, prediction, masks) for sample, prediction in found)
    parts = iter(lambda: list(islice(results, _PART)), [])
    states = [coco_state(part, class_ids, masks, max_detections) for part in parts]
    figures = CocoFigures.of(states or [coco_state([], class_ids, masks, max_detections)]).headline()
    return {name: figures[name] for name in _FIGURES}


def _result(sample: Sample, prediction: Detections, masks: bool) -> ImageResult:
    assert isinstance(sample.target, ObjectTarget)
    shapes = prediction.masks if masks and isinstance(prediction, InstanceMasks) else None
    found = Predictions(
        prediction.boxes.astype(np.float64), prediction.class_ids, prediction.scores.astype(np.float64), shapes
    )
    return ImageResult(sample.image_id, prediction.image_size, sample.target, found)
