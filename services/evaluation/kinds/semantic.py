"""Evaluation of semantic segmenters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from services.evaluation.kinds.kind_evaluation import KindEvaluation, Thresholds, Wording
from services.evaluation.numbers import headline_value, of_hundred, share, short_count

if TYPE_CHECKING:
    from services.evaluation.predictors import ModelFacts
    from services.evaluation.scoring import Metric


def _metric(class_names: tuple[str, ...], measured: tuple[int, ...], _max_detections: int) -> Metric:
    from services.evaluation.kinds.semantic_metric import SemanticMetric

    return SemanticMetric(class_names, measured)


def _parameters(_facts: ModelFacts, _thresholds: Thresholds) -> dict[str, Any]:
    return {}


def _summary(result: Mapping[str, Any]) -> list[str]:
    accuracy, boundary, iou = (headline_value(result, name) for name in ("pixel_accuracy", "boundary_iou", "iou"))
    sentences: list[str] = []
    if accuracy is not None:
        sentences.append(f"It names the right class for {of_hundred(accuracy)} pixels.")
    if boundary is not None and iou is not None:
        sentences.append(f"Near outlines IoU is {share(boundary)}, over whole regions {share(iou)}.")
    return sentences


SEMANTIC: Final = KindEvaluation(
    title="Semantic segmentation",
    unit="pixels",
    metric=_metric,
    parameters=_parameters,
    figures={
        "miou": Wording("Mean IoU", "Mean over classes, with the background."),
        "iou": Wording("IoU of classes", "Mean over classes, without the background."),
        "dice": Wording("Dice", "Mean over classes of twice the overlap by the sum of both areas."),
        "pixel_accuracy": Wording("Pixel accuracy", "Share of pixels of the right class."),
        "fwiou": Wording("IoU, by frequency", "Mean IoU, each class by its number of pixels."),
        "boundary_iou": Wording("Boundary IoU", "IoU of the pixels near outlines only."),
    },
    main="miou",
    leading=("iou", "dice", "pixel_accuracy", "boundary_iou"),
    columns={"iou": "IoU", "dice": "Dice", "boundary_iou": "Boundary IoU"},
    main_column="iou",
    terminal_columns=("iou", "dice", "boundary_iou"),
    quality="IoU of this image",
    mistake="share of pixels that are wrong",
    summary=_summary,
    write_count=short_count,
    has_background=True,
)
"""The record of semantic segmenters."""
