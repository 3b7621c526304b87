"""Average precision as COCO measures it, by pycocotools, for the evaluation within a training run."""

# pyright: reportMissingTypeStubs=false, reportArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import contextlib
import io
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from models.predictions import Detections, InstanceMasks
from models.training.object_masks import rectangle
from models.training.photo_dataset import Photo, PhotoDataset

_FIGURES: Final = (
    ("AP", None, "all"),
    ("AP50", 0, "all"),
    ("AP75", 5, "all"),
    ("AP_small", None, "small"),
    ("AP_medium", None, "medium"),
    ("AP_large", None, "large"),
)
"""Name, index of the one IoU threshold, and sizes of objects."""


def average_precision(
    dataset: PhotoDataset, predictions: Iterable[Detections], masks: bool = False, max_detections: int = 100
) -> dict[str, float]:
    """Measures detections against a data set.

    Args:
        dataset: The photos that were looked at.
        predictions: One for every photo, in the same order; `InstanceMasks` where masks are to be measured.
        masks: Whether overlap is that of masks, and not of boxes.
        max_detections: The best of a photo that count; COCO's own figures count 100.

    Returns:
        `AP` (mean over IoU thresholds from 0.50 to 0.95), `AP50`, `AP75`, and `AP` of small (below 32² pixels), medium
        and large (above 96²) objects as `AP_small`, `AP_medium`, `AP_large`; 0 to 1, −1 where there is no such object.
    """
    from pycocotools.cocoeval import COCOeval

    rows = [
        row
        for photo, found in zip(dataset.photos, predictions, strict=True)
        for row in _rows(photo.image_id, found, dataset.category_ids, masks)
    ]
    if not rows:
        return dict.fromkeys((name for name, _, _ in _FIGURES), 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _truth(dataset)
        evaluation = COCOeval(truth, truth.loadRes(rows), "segm" if masks else "bbox")
        evaluation.params.imgIds = [photo.image_id for photo in dataset.photos]
        evaluation.params.catIds = list(dataset.category_ids)
        evaluation.params.maxDets = [1, 10, max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"]  # by IoU, recall, category, size and number of detections
    sizes = {name: index for index, name in enumerate(evaluation.params.areaRngLbl)}
    return {
        name: _mean(precision[slice(None) if iou is None else iou, ..., sizes[size], -1])
        for name, iou, size in _FIGURES
    }


def _mean(precision: Any) -> float:
    """As COCO's summary has it: −1 stands where there is no such object."""
    known = precision[precision > -1]
    return float(np.mean(known)) if known.size else -1.0


def _truth(dataset: PhotoDataset) -> Any:
    """The annotation file, or what one would hold."""
    from pycocotools.coco import COCO

    if dataset.source.is_file():
        truth: Any = COCO(str(dataset.source))
        for row in truth.dataset["annotations"]:
            # Where objects have masks, crowds may still have boxes only.
            x, y, width, height = row["bbox"]
            row.setdefault("segmentation", rectangle([x, y, x + width, y + height]))
        return truth
    truth = COCO()
    truth.dataset = {
        "images": [{"id": photo.image_id, "height": photo.size[0], "width": photo.size[1]} for photo in dataset.photos],
        "annotations": [row for photo in dataset.photos for row in _annotations(photo, dataset.category_ids)],
        "categories": [
            {"id": number, "name": name} for number, name in zip(dataset.category_ids, dataset.class_names, strict=True)
        ],
    }
    for number, row in enumerate(truth.dataset["annotations"], 1):
        row["id"] = number
    truth.createIndex()
    return truth


def _annotations(photo: Photo, category_ids: tuple[int, ...]) -> list[dict[str, Any]]:
    assert photo.masks is not None
    return [
        {
            "image_id": photo.image_id,
            "category_id": category_ids[class_id],
            "bbox": [x_min, y_min, x_max - x_min, y_max - y_min],
            "segmentation": mask.to_coco(),
            "area": mask.area,
            "iscrowd": 0,
        }
        for (x_min, y_min, x_max, y_max), class_id, mask in zip(
            photo.boxes.tolist(), photo.class_ids.tolist(), photo.masks.objects(), strict=True
        )
    ]


def _rows(image_id: int, found: Detections, category_ids: tuple[int, ...], masks: bool) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
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
    if masks:
        assert isinstance(found, InstanceMasks)
        # Where there are boxes, pycocotools takes them and makes masks of them.
        rows = [
            {**{key: row[key] for key in row if key != "bbox"}, "segmentation": mask.to_coco()}
            for row, mask in zip(rows, found.masks, strict=True)
        ]
    return rows
