"""Pose estimation in the service: how a prediction is written, its request parameters, schemas and endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from models.parameters import PoseParameters
from models.predictions import Poses
from services.kinds.detection import PIXEL_DIGITS, Detection, ObjectParameters, write_objects
from services.kinds.request_parameters import Share
from services.kinds.schemas import PROBABILITY_DIGITS, Answered, Cached, CocoResult, Found, ItemError, Listed, Schema
from services.kinds.task_api import TaskApi

MAX_POSES: Final = 100
"""The most objects that a request may ask for."""
_SCORE_DIGITS: Final = 4
_VISIBLE, _LEFT_OUT = 2, 0


def write_poses(prediction: Poses, class_names: Sequence[str], told: object) -> dict[str, Any]:
    """Objects, each with its key points in the order of the skeleton."""
    threshold = told.keypoint_threshold if isinstance(told, PoseParameters) else 0.0
    names = prediction.skeleton.names
    rows = write_objects(prediction, class_names, told)["predictions"]
    places, scores = prediction.key_points.tolist(), prediction.key_point_scores.tolist()
    points = [
        [
            {
                "name": name,
                "x": round(x, PIXEL_DIGITS),
                "y": round(y, PIXEL_DIGITS),
                "score": round(score, _SCORE_DIGITS),
                "visible": score >= threshold,
            }
            for name, (x, y), score in zip(names, own_places, own_scores, strict=True)
        ]
        for own_places, own_scores in zip(places, scores, strict=True)
    ]
    whole = [round(score, PROBABILITY_DIGITS) for score in prediction.pose_scores.tolist()]
    return {
        "predictions": [
            {**row, "pose_score": score, "keypoints": own} for row, score, own in zip(rows, whole, points, strict=True)
        ],
        "skeleton": [list(edge) for edge in prediction.skeleton.edges],
    }


def coco_key_points(keypoints: Sequence[Mapping[str, Any]]) -> list[float]:
    """The key points of an object as COCO's files have them: x, y, v of each; v is 2 where it is visible, else 0."""
    return [
        number
        for point in keypoints
        for number in (point["x"], point["y"], _VISIBLE if point["visible"] else _LEFT_OUT)
    ]


class PoseRequest(ObjectParameters):
    """Finds people and their key points in an image: send it as the raw body, as multipart field `image`, or in base64
    in JSON.

    Parameters that are not set default to the model's own.
    """

    max_detections: Annotated[int, Field(ge=1, le=MAX_POSES)] | None = Field(
        default=None, description="The most objects in an image, up to 100: the key points of each take their time."
    )
    keypoint_threshold: Share | None = Field(
        default=None,
        description="Key points with a lower score are marked as not visible, and not drawn, 0 to 1.",
    )


class KeyPoint(Schema):
    """One key point, in pixels of the upright image."""

    name: str
    x: float = Field(ge=0)
    y: float = Field(ge=0)
    score: float = Field(ge=0, le=1, description="Probability that the point is here, by the model's heat map.")
    visible: bool = Field(description="Whether the score reaches `keypoint_threshold`.")


class Pose(Detection):
    """One object with its key points, in the order of the model's skeleton."""

    pose_score: float = Field(
        ge=0,
        le=1,
        description="`score` times the mean score of the key points: that of COCO's format and of evaluations.",
    )
    keypoints: tuple[KeyPoint, ...]


class FoundPoses(Found[Pose]):
    """The objects of one image; may be empty."""

    skeleton: tuple[tuple[int, int], ...] = Field(
        description="Lines to draw: pairs of indices into `keypoints`, from 0."
    )


class PoseAnswer(FoundPoses, Cached, Answered):
    """Response for one image."""


class PosesOfImage(FoundPoses, Cached, Listed):
    """The objects of one image of several."""


class PoseListAnswer(Answered):
    """Response for several images: one result each, in their order."""

    results: tuple[PosesOfImage | ItemError, ...]


class CocoPose(CocoResult):
    """One object, as a line of a COCO result file. Source: https://cocodataset.org/#format-results"""

    keypoints: tuple[float, ...] = Field(
        description="x, y and v of each key point; v is 2 where its score reaches `keypoint_threshold`, else 0."
    )


_POINTS: Final = (("nose", 201.5, 131.2, 0.91), ("left_eye", 208.1, 124.0, 0.9), ("right_eye", 195.7, 124.3, 0.12))
_PERSON: Final = {
    "box": {"x_min": 14.0, "y_min": 109.85, "x_max": 333.76, "y_max": 512.0},
    "class_id": 0,
    "class_name": "person",
    "score": 0.961214,
    "pose_score": 0.618383,
    "keypoints": [
        {"name": name, "x": x, "y": y, "score": score, "visible": score >= 0.2} for name, x, y, score in _POINTS
    ],
}
"""A model with three key points, to be short."""

POSE: Final = TaskApi(
    task="keypoints",
    path="/v1/pose",
    summary="The people in one or more images, each with its key points: nose, shoulders, knees and so on",
    parameters=PoseRequest,
    found=FoundPoses,
    answer=PoseAnswer | PoseListAnswer | tuple[CocoPose, ...],
    examples={
        "one image": {
            "model": "keypoint-rcnn-person",
            "version": "1",
            "image": {"height": 512, "width": 512},
            "predictions": [_PERSON],
            "skeleton": [[0, 1], [0, 2], [1, 2]],
            "cached": False,
            "request_id": "5f0c8a52a8d14d4c",
        },
        "format=coco": [
            {
                "image_id": 0,
                "category_id": 1,
                "keypoints": [201.5, 131.2, 2, 208.1, 124.0, 2, 195.7, 124.3, 0],
                "score": 0.618383,
            }
        ],
    },
)
