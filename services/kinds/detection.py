"""Detection in the service: how a prediction is written, its request parameters, schemas and endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import Field

from models.predictions import Detections as Prediction
from services.kinds.request_parameters import Classes, CocoParameters, Count, Share
from services.kinds.schemas import (
    PROBABILITY_DIGITS,
    Answered,
    Cached,
    CocoResult,
    Found,
    ItemError,
    Listed,
    Schema,
)
from services.kinds.task_api import TaskApi

PIXEL_DIGITS: Final = 2
BOX_MEMBERS: Final = ("x_min", "y_min", "x_max", "y_max")


def write_objects(prediction: Prediction, class_names: Sequence[str], _: object) -> dict[str, Any]:
    """The objects of an image, best first."""
    rows = zip(prediction.boxes.tolist(), prediction.class_ids.tolist(), prediction.scores.tolist(), strict=True)
    return {
        "predictions": [
            {
                "box": dict(zip(BOX_MEMBERS, (round(edge, PIXEL_DIGITS) for edge in box), strict=True)),
                "class_id": class_id,
                "class_name": class_names[class_id],
                "score": round(score, PROBABILITY_DIGITS),
            }
            for box, class_id, score in rows
        ]
    }


class DetectParameters(CocoParameters):
    """Detects objects in an image: send it as the raw body, as multipart field `image`, or in base64 in JSON.

    Parameters that are not set default to the model's own.
    """

    score_threshold: Share | None = Field(default=None, description="Drop objects with a lower score, 0 to 1.")
    iou_threshold: Share | None = Field(
        default=None,
        description="IoU threshold of NMS: of objects that overlap by more, only the best one is kept, 0 to 1.",
    )
    max_detections: Count | None = Field(default=None, description="The most objects in an image.")
    classes: Classes | None = Field(
        default=None,
        description="Only objects of these classes: names or ids; a list in JSON, with commas between them elsewhere.",
    )
    class_agnostic: bool | None = Field(
        default=None, description="NMS across classes: objects also suppress those of other classes; false by default."
    )


class Box(Schema):
    """A rectangle in pixels of the upright image, whose top left corner is (0, 0)."""

    x_min: float = Field(ge=0)
    y_min: float = Field(ge=0)
    x_max: float = Field(ge=0)
    y_max: float = Field(ge=0)


class Detection(Schema):
    """One detected object."""

    box: Box
    class_id: int = Field(ge=0)
    class_name: str
    score: float = Field(ge=0, le=1)


class FoundObjects(Found[Detection]):
    """The detected objects of one image; may be empty."""


class DetectAnswer(FoundObjects, Cached, Answered):
    """Response for one image."""


class Detections(FoundObjects, Cached, Listed):
    """The detected objects of one image of several."""


class DetectListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[Detections | ItemError, ...]


class CocoDetection(CocoResult):
    """One object, as a line of a COCO result file. Source: https://cocodataset.org/#format-results"""

    bbox: tuple[float, float, float, float] = Field(description="x, y, width, height in pixels.")


_PERSON: Final = {
    "box": {"x_min": 14.0, "y_min": 109.85, "x_max": 333.76, "y_max": 512.0},
    "class_id": 0,
    "class_name": "person",
    "score": 0.618214,
}

DETECT: Final = TaskApi(
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
