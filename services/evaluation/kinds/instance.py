"""Evaluation of instance segmenters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from services.evaluation.kinds.kind_evaluation import Thresholds
from services.evaluation.kinds.objects import object_evaluation, object_parameters

if TYPE_CHECKING:
    from services.evaluation.predictors import ModelFacts


def _parameters(_facts: ModelFacts, thresholds: Thresholds) -> dict[str, Any]:
    return object_parameters(thresholds)


INSTANCE: Final = object_evaluation("Instance segmentation", _parameters, {"iou_threshold": 0.5}, masks=True)
"""The record of instance segmenters; the IoU threshold of NMS is fixed in their networks."""
