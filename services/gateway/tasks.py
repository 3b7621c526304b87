"""The prediction endpoints: one row each; everything else is the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.entries import Task
from services.gateway.parameters import ClassifyParameters, DetectParameters, TaskParameters
from services.gateway.schemas import (
    ClassifyAnswer,
    ClassifyListAnswer,
    CocoDetection,
    DetectAnswer,
    DetectListAnswer,
)


@dataclass(frozen=True, slots=True)
class TaskApi:
    """What is particular about an endpoint.

    Attributes:
        task: The task of the models behind it.
        path: Where it answers.
        summary: One line for `/docs`.
        parameters: What a request may set.
        answer: The shapes that an answer may have, as a type.
        examples: Answers to show, by a name for each.
    """

    task: Task
    path: str
    summary: str
    parameters: type[TaskParameters]
    answer: Any
    examples: Mapping[str, Any]


_CLASSIFY: Final = TaskApi(
    task="classification",
    path="/v1/classify",
    summary="The most probable classes of one or more images",
    parameters=ClassifyParameters,
    answer=ClassifyAnswer | ClassifyListAnswer,
    examples={
        "one image": {
            "model": "efficientnet-lite0",
            "version": "1",
            "image": {"height": 300, "width": 451},
            "predictions": [{"class_id": 285, "class_name": "Egyptian cat", "probability": 0.69}],
            "cached": False,
            "request_id": "5f0c8a52a8d14d4c",
        },
    },
)

_PERSON: Final = {
    "box": {"x_min": 14.0, "y_min": 109.85, "x_max": 333.76, "y_max": 512.0},
    "class_id": 0,
    "class_name": "person",
    "score": 0.618214,
}

_DETECT: Final = TaskApi(
    task="detection",
    path="/v1/detect",
    summary="The objects in one or more images: boxes, classes and scores",
    parameters=DetectParameters,
    answer=DetectAnswer | DetectListAnswer | tuple[CocoDetection, ...],
    examples={
        "one image": {
            "model": "yolo-person",
            "version": "1",
            "image": {"height": 512, "width": 512},
            "predictions": [_PERSON],
            "cached": False,
            "request_id": "5f0c8a52a8d14d4c",
        },
        "format=coco": [{"image_id": 0, "category_id": 1, "bbox": [14.0, 109.85, 319.76, 402.15], "score": 0.618214}],
    },
)

TASKS: Final = (_CLASSIFY, _DETECT)
