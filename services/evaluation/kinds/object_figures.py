"""Figures that the metrics of objects and of poses share: by class, by image, and by score threshold.

A match is by the IoU of boxes or of masks, or by OKS: `Matches` does not say which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.average_precision import AREAS, IOU_THRESHOLDS, RECALLS
from models.metrics.coco.bootstrap import resampled_operations
from models.metrics.coco.confusion import object_confusion
from models.metrics.coco.errors import error_costs
from models.metrics.coco.image_results import Predictions
from models.metrics.coco.matches import Matches
from models.metrics.coco.thresholds import (
    CURVE_SCORES,
    Verdicts,
    best_operation,
    f1_curve,
    most_confident_errors,
    score_histogram,
)
from services.evaluation.scoring import Figure, MetricState, Ranking, Record
from services.kinds.detection import BOX_MEMBERS

_SCORE_EDGES: Final = np.linspace(0, 1, 11).round(1).tolist()


def record_columns(records: Sequence[Record]) -> MetricState:
    """The columns `indices` and `image_ids`, (N,) int64, of the state of N records."""
    return {
        "indices": np.array([record.index for record in records], np.int64),
        "image_ids": np.array([record.image_id for record in records], np.int64),
    }


def joined_matches(chunks: Sequence[MetricState], prefix: str) -> Matches:
    """The matches of all chunks, from the columns with a prefix."""
    return Matches.joined([Matches.from_columns(chunk, prefix) for chunk in chunks])


def predictions_of(record: Record, score: str = "score", **more: Any) -> Predictions:
    """Boxes, classes and scores of a record's predictions.

    Args:
        record: Of an image.
        score: Name of the score in the answer.
        more: Further members of `Predictions`.
    """
    rows: Sequence[Mapping[str, Any]] = record.answer["predictions"]
    return Predictions(
        np.array([[row["box"][member] for member in BOX_MEMBERS] for row in rows], np.float64).reshape(-1, 4),
        np.array([row["class_id"] for row in rows], np.int64),
        np.array([row[score] for row in rows], np.float64),
        **more,
    )


def bounded(values: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]]) -> dict[str, Figure]:
    """Adds confidence intervals to figures, from the resampled values of the same name; a figure without has none."""
    return {name: Figure.of(value, drawn[name]) if name in drawn else Figure(value) for name, value in values.items()}


def best_figures(verdicts: Verdicts, images: int, replicates: int, seed: int) -> dict[str, Figure]:
    """Precision, recall and F1 at the score threshold of the best F1."""
    _, *best = best_operation(verdicts)
    chosen = resampled_operations(verdicts, images, replicates, seed)
    names = ("precision", "recall", "f1")
    return bounded(dict(zip(names, best, strict=True)), dict(zip(names, chosen.T, strict=True)))


def class_row(class_id: int, class_name: str, verdicts: Verdicts, figures: Mapping[str, float]) -> dict[str, Any]:
    """The row of one class in the report.

    Args:
        class_id: Of the class.
        class_name: Its name.
        verdicts: Of all classes.
        figures: Average precision and recall of the class, by name.
    """
    own = verdicts.of_class(class_id)
    best = best_operation(own)
    return {
        "class_id": class_id,
        "class_name": class_name,
        "targets": len(own.target_classes),
        **figures,
        "best_score": best.score,
        "precision": best.precision,
        "recall": best.recall,
        "f1": best.f1,
    }


def threshold_details(matches: Matches, verdicts: Verdicts, class_ids: Sequence[int]) -> dict[str, Any]:
    """Confusion matrix, TIDE errors, F1 curve and histogram of scores, for `services.evaluation.report`.

    Args:
        matches: Of all images.
        verdicts: Of these matches.
        class_ids: The measured classes.
    """
    best = best_operation(verdicts)
    true, false = score_histogram(verdicts, _SCORE_EDGES)
    return {
        "confusion": {
            "class_ids": [*class_ids, None],
            "matrix": object_confusion(matches, class_ids, best.score).tolist(),
            "iou_threshold": 0.5,
            "score_threshold": best.score,
        },
        "errors": [asdict(cost) for cost in error_costs(matches, class_ids)],
        "f1_curve": {
            "scores": CURVE_SCORES.round(2).tolist(),
            "f1": f1_curve(verdicts).tolist(),
            "best_score": best.score,
        },
        "scores": {"edges": _SCORE_EDGES, "true": true.tolist(), "false": false.tolist()},
    }


def ranking_by_f1(chunks: Sequence[MetricState], matches: Matches, verdicts: Verdicts) -> Ranking:
    """The quality of an image is its F1 at the score threshold of the best F1; 1 without targets and predictions.

    Its most confident error is the false positive at IoU or OKS 0.5 with the highest score.
    """
    indices, image_ids = (np.concatenate([chunk[name] for chunk in chunks]) for name in ("indices", "image_ids"))
    order = np.argsort(indices, kind="stable")
    place = np.searchsorted(matches.image_ids, image_ids[order])
    count = len(matches.image_ids)
    right, predictions, targets = verdicts.by_image(count, best_operation(verdicts).score).T
    quality = np.where(predictions + targets > 0, 2 * right / np.maximum(predictions + targets, 1), 1.0)
    return Ranking(indices[order], quality[place], most_confident_errors(verdicts, count)[place])


def coco_protocol(iou_type: str, max_detections: int, areas: Sequence[str] = tuple(AREAS)) -> dict[str, Any]:
    """The protocol of COCO's metrics, without that of the bootstrap.

    Args:
        iou_type: As COCO names it: `bbox`, `segm` or `keypoints`.
        max_detections: The most predictions of an image and a class.
        areas: Names of the ranges of areas that are measured.
    """
    return {
        "iou_type": iou_type,
        "iou_thresholds": IOU_THRESHOLDS.round(2).tolist(),
        "recall_points": len(RECALLS),
        "areas_pixels": {name: list(AREAS[name]) for name in areas},
        "max_detections": max_detections,
        "max_detections_per": "image and class",
    }
