"""Average precision as COCO measures it, by pycocotools, for the evaluation within a training run."""

# pyright: reportMissingTypeStubs=false, reportArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import contextlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from models.predictions import Detections
from models.training.coco import CocoDataset

_FIGURES: Final = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large")


def average_precision(dataset: CocoDataset, predictions: Iterable[Detections]) -> dict[str, float]:
    """Measures detections against a data set.

    Args:
        dataset: The photos that were looked at.
        predictions: One for every photo, in the same order.

    Returns:
        `AP` (mean over IoU thresholds from 0.50 to 0.95), `AP50`, `AP75`, and `AP` of small (below 32² pixels), medium
        and large (above 96²) objects as `AP_small`, `AP_medium`, `AP_large`; 0 to 1, −1 where there is no such object.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rows = [
        row
        for photo, found in zip(dataset.photos, predictions, strict=True)
        for row in _rows(photo.image_id, found, dataset.category_ids)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(Path(dataset.annotation_file)))
        if not rows:
            return dict.fromkeys(_FIGURES, 0.0)
        evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
        evaluation.params.imgIds = [photo.image_id for photo in dataset.photos]
        evaluation.params.catIds = list(dataset.category_ids)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(_FIGURES, evaluation.stats[:6], strict=True)}


def _rows(image_id: int, found: Detections, category_ids: tuple[int, ...]) -> list[dict[str, object]]:
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[class_id],
            "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
            "score": score,
        }
        for (x_min, y_min, x_max, y_max), score, class_id in zip(
            found.boxes.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True
        )
    ]
