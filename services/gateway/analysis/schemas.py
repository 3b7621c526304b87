"""Schemas of an analysis, for `/docs`."""

from __future__ import annotations

from typing import Any, Final

from services.gateway.analysis.parameters import PARTS, AnalyzeParameters, part_schema
from services.kinds.classification import ClassPrediction
from services.kinds.detection import Detection
from services.kinds.keypoints import Pose
from services.kinds.schemas import Cached, ImageSize, ItemError, Schema
from services.kinds.segmentation import Instance, Region


class _Part(Cached):
    model: str
    version: str


class AnalyzedClasses(_Part):
    """The classes, as of `/v1/classify`."""

    predictions: tuple[ClassPrediction, ...]


class AnalyzedObjects(_Part):
    """The objects, as of `/v1/detect`."""

    predictions: tuple[Detection, ...]


class AnalyzedPoses(_Part):
    """The people, as of `/v1/pose`."""

    predictions: tuple[Pose, ...]
    skeleton: tuple[tuple[int, int], ...]


class AnalyzedMasks(_Part):
    """The masks, as of `/v1/segment`."""

    predictions: tuple[Instance | Region, ...]
    class_map: str | None = None


class Answers(Schema):
    """The answers of the tasks, each in place of its error; a task that was not asked is left out."""

    classify: AnalyzedClasses | ItemError | None = None
    detect: AnalyzedObjects | ItemError | None = None
    pose: AnalyzedPoses | ItemError | None = None
    segment: AnalyzedMasks | ItemError | None = None


class Analysis(Schema):
    """The answers to one image of several."""

    image: ImageSize
    answers: Answers


class AnalyzeAnswer(Analysis):
    """Response for one image."""

    request_id: str


class AnalyzeListAnswer(Schema):
    """Response for several images: the answers to each, in their order, or an error where no task has one."""

    results: tuple[Analysis | ItemError, ...]
    request_id: str


def request_schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of the parameters: with prefixes, as in a query or a form, and in objects, as in JSON."""
    own: dict[str, Any] = AnalyzeParameters.model_json_schema()["properties"]
    whole = {name: own[name] for name in ("tasks", "model", "render")}
    of_tasks = {name: part_schema(name) for name in PARTS}
    as_text = {f"{name}.{key}": schema for name, keys in of_tasks.items() for key, schema in keys.items()}
    as_json = {name: {"type": "object", "properties": keys} for name, keys in of_tasks.items()}
    return {**whole, **as_text}, {**whole, **as_json}


def _example(name: str) -> dict[str, Any]:
    """The answer of a task: the first example of its endpoint, without what the whole response has."""
    example = next(iter(PARTS[name].examples.values()))
    return {key: value for key, value in example.items() if key not in ("image", "request_id")}


ANALYZE_EXAMPLES: Final[dict[str, Any]] = {
    "two tasks": {
        "image": {"height": 512, "width": 512},
        "answers": {"classify": _example("classify"), "detect": _example("detect")},
        "request_id": "5f0c8a52a8d14d4c",
    },
    "a task that fails": {
        "image": {"height": 512, "width": 512},
        "answers": {
            "detect": _example("detect"),
            "pose": {
                "error": {
                    "code": "not_ready",
                    "message": "keypoint-rcnn-person is still being loaded",
                    "details": {},
                    "request_id": "5f0c8a52a8d14d4c",
                }
            },
        },
        "request_id": "5f0c8a52a8d14d4c",
    },
}
"""Example responses to `POST /v1/analyze`."""
