"""What a job asks of models of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from models.entries import Segmentation, Task
from services.evaluation.kinds import KINDS
from services.evaluation.kinds.kind_evaluation import Thresholds
from services.evaluation.predictors import ModelFacts


def facts(task: Task, segmentation: Segmentation | None = None, **defaults: float) -> ModelFacts:
    return ModelFacts("model", "1", task, segmentation, ("a", "b"), defaults, "0" * 64, {})


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (facts("classification"), {"top_k": 2}),
        (facts("detection"), {"score_threshold": 0.001, "max_detections": 100, "iou_threshold": 0.5}),
        (facts("segmentation", "instance"), {"score_threshold": 0.001, "max_detections": 100}),
        (facts("segmentation", "semantic"), {}),
    ],
)
def test_every_kind_is_asked_for_all_that_its_figures_need(model: ModelFacts, asked: Mapping[str, Any]) -> None:
    assert KINDS[model.kind].parameters(model, Thresholds()) == asked


def test_boxes_suppress_each_other_as_where_the_model_is_served_unless_the_user_says_otherwise() -> None:
    model = facts("detection", iou_threshold=0.65)
    assert KINDS[model.kind].parameters(model, Thresholds())["iou_threshold"] == 0.65
    assert KINDS[model.kind].parameters(model, Thresholds(iou_threshold=0.0))["iou_threshold"] == 0.0
