"""The prediction endpoints of all tasks: path, parameters, response schema and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from models.entries import Task
from services.gateway.parameters import ClassifyParameters, DetectParameters, SegmentParameters, TaskParameters
from services.gateway.schemas import (
    ClassifyAnswer,
    ClassifyListAnswer,
    CocoDetection,
    CocoSegmentation,
    DetectAnswer,
    DetectListAnswer,
    FoundClasses,
    FoundMasks,
    FoundObjects,
    SegmentAnswer,
    SegmentListAnswer,
)


@dataclass(frozen=True, slots=True)
class TaskApi:
    """The description of one endpoint.

    Attributes:
        task: The task of the models behind it.
        path: Its URL path.
        summary: One line for `/docs`.
        parameters: Pydantic model of the parameters.
        found: Schema of what a replica answers about one image, which is what the cache holds.
        answer: Response schemas, as a type.
        examples: Example responses by name.
    """

    task: Task
    path: str
    summary: str
    parameters: type[TaskParameters]
    found: type[BaseModel]
    answer: Any
    examples: Mapping[str, Any]


_CLASSIFY: Final = TaskApi(
    task="classification",
    path="/v1/classify",
    summary="The most probable classes of one or more images",
    parameters=ClassifyParameters,
    found=FoundClasses,
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
    found=FoundObjects,
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

_SQUARE: Final = {"class_id": 1, "class_name": "person", "area_pixels": 4, "fraction": 0.25}
"""Two by two pixels in the middle of four by four."""

_SQUARE_RUNS: Final = {"size": [4, 4], "counts": "52203"}
"""The same as run lengths."""

_SQUARE_OUTLINE: Final = [1.5, 1.0, 2.5, 1.0, 3.0, 1.5, 3.0, 2.5, 2.5, 3.0, 1.5, 3.0, 1.0, 2.5, 1.0, 1.5]
"""The same as a polygon, which rounds every corner off by half a pixel."""

_SQUARE_MAP: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAEAQMAAACTPww9AAAABlBMVEUAAAD8LcXSnV+rAAAAEElEQVR4AWNgYEhgYmBgAAAB8ABjhMVciQAAAABJ"
    "RU5ErkJggg=="
)
"""The same as a class map."""


def _segmented(model: str, **members: Any) -> dict[str, Any]:
    return {
        "model": model,
        "version": "1",
        "image": {"height": 4, "width": 4},
        **members,
        "cached": False,
        "request_id": "5f0c8a52a8d14d4c",
    }


_SEGMENT: Final = TaskApi(
    task="segmentation",
    path="/v1/segment",
    summary="The pixels of each class, or of each object, in one or more images",
    parameters=SegmentParameters,
    found=FoundMasks,
    answer=SegmentAnswer | SegmentListAnswer | tuple[CocoSegmentation, ...],
    examples={
        "a semantic model": _segmented("unet-person", predictions=[{**_SQUARE, "mask": _SQUARE_RUNS}]),
        "an instance model": _segmented(
            "mask-rcnn-person",
            predictions=[
                {
                    "box": {"x_min": 0.9, "y_min": 1.0, "x_max": 3.0, "y_max": 3.1},
                    "class_id": 0,
                    "class_name": "person",
                    "score": 0.873102,
                    "area_pixels": 4,
                    "mask": _SQUARE_RUNS,
                }
            ],
        ),
        "a semantic model, mask_format=polygon": _segmented(
            "unet-person",
            predictions=[{**_SQUARE, "mask": [_SQUARE_OUTLINE]}],
        ),
        "a semantic model, mask_format=png": _segmented("unet-person", predictions=[_SQUARE], class_map=_SQUARE_MAP),
        "an instance model, format=coco": [
            {"image_id": 0, "category_id": 1, "segmentation": _SQUARE_RUNS, "score": 0.873102}
        ],
    },
)

TASKS: Final[dict[Task, TaskApi]] = {api.task: api for api in (_CLASSIFY, _DETECT, _SEGMENT)}
"""The endpoint of every task."""
