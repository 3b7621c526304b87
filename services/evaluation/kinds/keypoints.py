"""Evaluation of pose estimators."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from models.entries import POSE_DEFAULTS
from services.evaluation.kinds.kind_evaluation import KindEvaluation, Thresholds, Wording
from services.evaluation.kinds.objects import object_parameters
from services.evaluation.numbers import finite, headline_value, of_hundred

if TYPE_CHECKING:
    from services.evaluation.predictors import ModelFacts
    from services.evaluation.scoring import Metric


def _metric(class_names: tuple[str, ...], measured: tuple[int, ...], max_detections: int) -> Metric:
    from models.metrics.coco.key_points import MAX_POSES
    from services.evaluation.kinds.pose_metric import PoseMetric

    return PoseMetric(class_names, measured, max_detections=min(max_detections, MAX_POSES))


def _parameters(facts: ModelFacts, thresholds: Thresholds) -> dict[str, Any]:
    overlap = thresholds.iou_threshold
    if overlap is None:
        overlap = facts.defaults.get("iou_threshold", POSE_DEFAULTS["iou_threshold"])
    return {**object_parameters(thresholds), "iou_threshold": overlap}


def _summary(result: Mapping[str, Any]) -> list[str]:
    precision, recall = headline_value(result, "precision"), headline_value(result, "recall")
    best = finite((result["details"].get("f1_curve") or {}).get("best_score"))
    if precision is None or recall is None:
        return []
    at = "At its best score threshold" if best is None else f"At its best score threshold, {best:.2f},"
    return [
        f"{at} it finds {of_hundred(recall)} poses with an OKS of 0.5 or more, and of a hundred that it finds, "
        f"{of_hundred(precision, short=True)} are right."
    ]


KEYPOINTS: Final = KindEvaluation(
    title="Pose estimation",
    unit="objects",
    metric=_metric,
    parameters=_parameters,
    figures={
        "oks_ap": Wording("OKS-AP 0.50:0.95", "Average precision, mean over ten thresholds of OKS."),
        "oks_ap_50": Wording("OKS-AP at 0.50", "Average precision where key points need to be near."),
        "oks_ap_75": Wording("OKS-AP at 0.75", "Average precision where key points must fit closely."),
        "oks_ap_medium": Wording("OKS-AP, medium", "Objects of 32² to 96² pixels."),
        "oks_ap_large": Wording("OKS-AP, large", "Objects above 96² pixels."),
        "oks_ar": Wording("OKS recall", "Average recall with at most 20 predictions an image."),
        "oks_ar_50": Wording("OKS recall at 0.50", "Recall where key points need to be near."),
        "oks_ar_75": Wording("OKS recall at 0.75", "Recall where key points must fit closely."),
        "oks_ar_medium": Wording("OKS recall, medium", "Average recall of objects of 32² to 96² pixels."),
        "oks_ar_large": Wording("OKS recall, large", "Average recall of objects above 96² pixels."),
        "precision": Wording("Precision", "Share of what is found that is right, at OKS 0.5 and the best F1."),
        "recall": Wording("Recall", "Share of what is there that is found, at OKS 0.5 and the best F1."),
        "f1": Wording("F1", "Harmonic mean of precision and recall, at OKS 0.5 and the best threshold."),
        "box_map": Wording("Box mAP 0.50:0.95", "Average precision of the boxes, at most 20 an image."),
        "box_map_50": Wording("Box mAP at IoU 0.50", "By the boxes."),
        "box_map_75": Wording("Box mAP at IoU 0.75", "By the boxes."),
    },
    main="oks_ap",
    leading=("oks_ap_50", "oks_ap_75", "precision", "recall"),
    columns={
        "oks_ap": "OKS-AP",
        "oks_ap_50": "OKS-AP 0.50",
        "oks_ap_75": "OKS-AP 0.75",
        "oks_ar": "OKS recall",
        "best_score": "Best score",
        "precision": "Precision",
        "recall": "Recall",
        "f1": "F1",
    },
    main_column="oks_ap",
    terminal_columns=("oks_ap", "oks_ap_50", "precision", "recall", "best_score"),
    quality="F1 of this image",
    mistake="score of the mistake",
    summary=_summary,
    writes_targets=True,
)
"""The record of pose estimators; as COCO does, it counts the best 20 predictions of an image."""
