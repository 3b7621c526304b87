"""Evaluation of classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from services.evaluation.kinds.kind_evaluation import KindEvaluation, Thresholds, Wording
from services.evaluation.numbers import headline_value, of_hundred, share

if TYPE_CHECKING:
    from services.evaluation.predictors import ModelFacts
    from services.evaluation.scoring import Metric

_MOST_CLASSES: Final = 1000
"""Upper limit of `top_k` in the HTTP API."""


def _metric(class_names: tuple[str, ...], measured: tuple[int, ...], _max_detections: int) -> Metric:
    from services.evaluation.kinds.classification_metric import ClassificationMetric

    return ClassificationMetric(class_names, measured)


def _parameters(facts: ModelFacts, _thresholds: Thresholds) -> dict[str, Any]:
    return {"top_k": min(len(facts.class_names), _MOST_CLASSES)}


def _summary(result: Mapping[str, Any]) -> list[str]:
    top1, top5, ece = (headline_value(result, name) for name in ("top1", "top5", "ece"))
    sentences: list[str] = []
    if top1 is not None:
        sentence = f"The right class comes first for {of_hundred(top1)} images"
        more = "" if top5 is None else f", and is among the first five for {of_hundred(top5, short=True)}"
        sentences.append(f"{sentence}{more}.")
    if ece is not None:
        sentences.append(f"What it says of its own certainty is off by {share(ece)} on average.")
    return sentences


CLASSIFICATION: Final = KindEvaluation(
    title="Classification",
    unit="images",
    metric=_metric,
    parameters=_parameters,
    figures={
        "top1": Wording("Top-1 accuracy", "Share of images whose most probable class is the right one."),
        "top5": Wording("Top-5 accuracy", "Share of images with the right class among the five most probable."),
        "precision_macro": Wording("Precision, macro", "Mean over classes."),
        "recall_macro": Wording("Recall, macro", "Mean over classes."),
        "f1_macro": Wording("F1, macro", "Mean over classes of the harmonic mean of precision and recall."),
        "precision_weighted": Wording("Precision, weighted", "Mean over classes, each by its number of images."),
        "recall_weighted": Wording("Recall, weighted", "Mean over classes, each by its number of images."),
        "f1_weighted": Wording("F1, weighted", "Mean over classes, each by its number of images."),
        "average_precision": Wording(
            "Average precision", "Mean over classes of the area under precision against recall."
        ),
        "roc_auc": Wording("ROC AUC", "Mean over classes, each against the rest; 0.5 is chance."),
        "ece": Wording("Calibration error", "Expected distance of confidence from accuracy; lower is better."),
    },
    main="top1",
    leading=("top5", "f1_macro", "average_precision", "ece"),
    columns={
        "precision": "Precision",
        "recall": "Recall",
        "f1": "F1",
        "average_precision": "AP",
        "roc_auc": "ROC AUC",
    },
    main_column="f1",
    terminal_columns=("precision", "recall", "f1", "average_precision"),
    quality="probability of the right class",
    mistake="probability of the wrong class",
    summary=_summary,
    kept_predictions=5,
    matches_by_place=True,
)
"""The record of classifiers."""
