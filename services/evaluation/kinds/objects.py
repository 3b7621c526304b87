"""Metric labels and settings that the evaluations of detectors and instance segmenters share."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from services.evaluation.kinds.kind_evaluation import KindEvaluation, Thresholds, Wording
from services.evaluation.numbers import finite, headline_value, of_hundred, share

if TYPE_CHECKING:
    from services.evaluation.predictors import ModelFacts
    from services.evaluation.scoring import Metric

_LOST_TO: Final[Mapping[str, str]] = {
    "localisation": "objects whose outlines do not fit",
    "classification": "objects that are taken for another class",
    "both": "objects of the wrong class in the wrong place",
    "duplicate": "objects that are found twice",
    "background": "objects that are not there",
    "missed": "objects that are not found",
}
_FIGURES: Final[Mapping[str, Wording]] = {
    "map": Wording("mAP 0.50:0.95", "Average precision, mean over classes and ten IoU thresholds."),
    "map_50": Wording("mAP at IoU 0.50", "Average precision where half an overlap is enough."),
    "map_75": Wording("mAP at IoU 0.75", "Average precision where outlines must fit closely."),
    "map_small": Wording("mAP, small", "Objects below 32² pixels."),
    "map_medium": Wording("mAP, medium", "Objects of 32² to 96² pixels."),
    "map_large": Wording("mAP, large", "Objects above 96² pixels."),
    "mar_1": Wording("Recall, 1 an image", "Average recall with at most one prediction an image."),
    "mar_10": Wording("Recall, 10 an image", "Average recall with at most 10 predictions an image."),
    "mar_100": Wording("Recall, 100 an image", "Average recall with at most 100 predictions an image."),
    "mar_small": Wording("Recall, small", "Average recall of objects below 32² pixels."),
    "mar_medium": Wording("Recall, medium", "Average recall of objects of 32² to 96² pixels."),
    "mar_large": Wording("Recall, large", "Average recall of objects above 96² pixels."),
    "box_map": Wording("Box mAP 0.50:0.95", "As mAP, by the boxes around the masks."),
    "box_map_50": Wording("Box mAP at IoU 0.50", "By the boxes around the masks."),
    "box_map_75": Wording("Box mAP at IoU 0.75", "By the boxes around the masks."),
    "precision": Wording("Precision", "Share of what is found that is right, at IoU 0.5 and the best F1."),
    "recall": Wording("Recall", "Share of what is there that is found, at IoU 0.5 and the best F1."),
    "f1": Wording("F1", "Harmonic mean of precision and recall, at IoU 0.5 and the best threshold."),
}
_COLUMNS: Final[Mapping[str, str]] = {
    "map": "AP",
    "map_50": "AP 0.50",
    "map_75": "AP 0.75",
    "mar_100": "Recall 100",
    "best_score": "At score",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
}


def object_evaluation(
    title: str,
    parameters: Callable[[ModelFacts, Thresholds], dict[str, Any]],
    protocol: Mapping[str, Any],
    *,
    masks: bool,
) -> KindEvaluation:
    """Makes the record of a kind whose predictions are objects.

    Args:
        title: Name of the kind in reports.
        parameters: Request parameters of an evaluation.
        protocol: Settings that are fixed in the network.
        masks: Whether masks are measured, and boxes besides; or boxes only.
    """

    def metric(class_names: tuple[str, ...], measured: tuple[int, ...], max_detections: int) -> Metric:
        from services.evaluation.kinds.object_metric import ObjectMetric

        return ObjectMetric(class_names, measured, masks=masks, max_detections=max_detections)

    return KindEvaluation(
        title=title,
        unit="objects",
        metric=metric,
        parameters=parameters,
        figures=_FIGURES,
        main="map",
        leading=("map_50", "map_75", "precision", "recall"),
        columns=_COLUMNS,
        main_column="map",
        terminal_columns=("map", "map_50", "precision", "recall", "best_score"),
        quality="F1 of this image",
        mistake="score of the mistake",
        summary=_summary,
        protocol=protocol,
        writes_targets=True,
    )


def object_parameters(thresholds: Thresholds) -> dict[str, Any]:
    """Returns the request parameters that detectors and instance segmenters share."""
    return {"score_threshold": thresholds.score_threshold, "max_detections": thresholds.max_detections}


def _summary(result: Mapping[str, Any]) -> list[str]:
    precision, recall = headline_value(result, "precision"), headline_value(result, "recall")
    best = finite((result["details"].get("f1_curve") or {}).get("best_score"))
    sentences: list[str] = []
    if precision is not None and recall is not None:
        at = "At its best score threshold" if best is None else f"At its best score threshold, {best:.2f},"
        sentences.append(
            f"{at} it finds {of_hundred(recall)} objects, and of a hundred that it finds, "
            f"{of_hundred(precision, short=True)} are there."
        )
    errors = [one for one in result["details"].get("errors") or [] if (finite(one.get("delta_map_50")) or 0) >= 0.0005]
    if errors:
        worst = max(errors, key=lambda one: one["delta_map_50"])
        lost = share(worst["delta_map_50"])
        sentences.append(f"Most is lost to {_LOST_TO[worst['name']]}: {lost} of mAP at IoU 0.50.")
    return sentences
