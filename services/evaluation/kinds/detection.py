"""Evaluation of detectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from models.entries import DETECTION_DEFAULTS
from services.evaluation.kinds.kind_evaluation import Thresholds
from services.evaluation.kinds.objects import object_evaluation, object_parameters

if TYPE_CHECKING:
    from services.evaluation.predictors import ModelFacts


def _parameters(facts: ModelFacts, thresholds: Thresholds) -> dict[str, Any]:
    overlap = thresholds.iou_threshold
    if overlap is None:
        overlap = facts.defaults.get("iou_threshold", DETECTION_DEFAULTS["iou_threshold"])
    return {**object_parameters(thresholds), "iou_threshold": overlap}


DETECTION: Final = object_evaluation("Detection", _parameters, {}, masks=False)
"""The record of detectors."""
