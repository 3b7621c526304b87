"""OpenAPI of predictions, feedback and accuracy, generated from the schemas that validate requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from services.gateway import negotiation
from services.gateway.schemas import Base64Image, FeedbackRequest
from services.kinds.request_parameters import RequestParameters, TaskParameters
from services.kinds.schemas import ErrorAnswer
from services.kinds.task_api import TaskApi

_ERRORS = {
    400: "The body is malformed, or the image is empty, truncated or corrupt.",
    401: "An API key is needed.",
    403: "The API key is not known, or not that of an administrator.",
    404: "No such model is served; or, for feedback, no such answer is kept.",
    406: "A picture in a format that is not made here, or of several images at once; or a cut-out that is not PNG.",
    408: "The body came too slowly; the connection is closed.",
    409: "This image has feedback already; or the version answers requests.",
    413: "The body or the image is too large, in bytes, pixels or number.",
    414: "The path and the query are too long.",
    415: "Not an image format, content type or content encoding that is read here.",
    422: "A parameter is wrong, masks are too large to be sent as was asked, or a version cannot be loaded.",
    429: "Too many requests for this key; `Retry-After` says when to try again.",
    431: "The headers are too large.",
    501: "Explanations need a package that is not installed on the server.",
    503: "Overloaded or not ready; `Retry-After` says when to try again.",
    504: "The time limit of the request passed.",
}

_OF_PREDICTIONS = frozenset(_ERRORS) - {409, 501}

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4//8/AAX+Av7czFnnAAAAAElFTkSuQmCC"
"""A PNG file of one white pixel."""

_CLASS_MAP = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAAAAACMmsGiAAAAEklEQVR42mNkYGBkYGJgYEAiAAB1AAmMUbGFAAAAAElFTkSuQmCC"
"""A PNG file of 4 x 4 pixels: background on the left, and class 1 on the right."""

_FILE = {"type": "string", "format": "binary"}

PICTURE_CONTENT = {media_type: {"schema": _FILE} for media_type in negotiation.PICTURES}
"""The `content` of a rendered response."""


_DRAWN = (
    "One answer; or, for a list of images, one result each. Or the image with the answer drawn on it: for "
    "`render=true`, or where `Accept` prefers an image to JSON; or, for `render=cutout` of a segmentation, the objects "
    "on a transparent background, as PNG."
)


def describe_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for these statuses; by default, those of a prediction."""
    return {
        status: {"model": ErrorAnswer, "description": text}
        for status, text in _ERRORS.items()
        if status in (statuses or _OF_PREDICTIONS)
    }


def describe_request(api: TaskApi) -> dict[str, Any]:
    """Parameters and request body of a prediction endpoint, as OpenAPI."""
    if not api.takes_images:
        return _describe_parameters(api.parameters)
    properties = _properties(api.parameters)
    return describe_images(properties, properties, several=True, takes_signals=api.task == "classification")


def describe_response(api: TaskApi) -> dict[str, Any]:
    """The `responses` entry of status 200 of a prediction endpoint, without its model."""
    examples = {"examples": {name: {"value": example} for name, example in api.examples.items()}}
    if api.picture_file is None:
        content, description = PICTURE_CONTENT, _DRAWN
    else:
        content = {media_type: {"schema": _FILE} for media_type in negotiation.MADE}
        description = "The image; several are one grid. In JSON, each as a PNG file in base64."
    return {"description": description, "content": {"application/json": examples, **content}}


def describe_one_image(parameters: type[TaskParameters]) -> dict[str, Any]:
    """Parameters and request body of an endpoint that takes one image, as OpenAPI."""
    return describe_images(_properties(parameters), _properties(parameters), several=False)


def _properties(parameters: type[RequestParameters]) -> dict[str, Any]:
    return parameters.model_json_schema()["properties"]


def describe_images(
    as_text: Mapping[str, Any], as_json: Mapping[str, Any], several: bool, takes_signals: bool = False
) -> dict[str, Any]:
    """Parameters and request body of an endpoint that takes images, as OpenAPI.

    Args:
        as_text: Schemas of its parameters in a query or a form, by name.
        as_json: The same in a JSON body.
        several: Whether it takes several images.
        takes_signals: Whether it takes signals, too.
    """
    as_text = {name: _without_lists(schema) for name, schema in as_text.items()}
    file = _FILE
    image = Base64Image.model_json_schema()
    files = {"type": "array", "items": file} if several else file
    images = {"images": {"type": "array", "items": image}} if several else {}
    examples: dict[str, Any] = {"one image": {"value": {"image": {"base64": _PIXEL}}}}
    if several:
        examples["several images"] = {"value": {"images": [{"base64": _PIXEL}, {"base64": _PIXEL}]}}
    signals, signal_member, signal_example = _signals() if takes_signals else ({}, {}, {})
    examples |= signal_example
    return {
        **_query_and_headers(as_text),
        "requestBody": {
            "required": True,
            "content": {
                **{f"image/{kind}": {"schema": file} for kind in ("jpeg", "png", "webp", "gif", "bmp", "tiff")},
                **signals,
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "required": ["image"],
                        "properties": {"image": files, **as_text},
                    }
                },
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"image": image, **images, **signal_member, **as_json},
                    },
                    "examples": examples,
                },
            },
        },
    }


def _describe_parameters(parameters: type[RequestParameters]) -> dict[str, Any]:
    """Those of an endpoint that takes no image."""
    schema = parameters.model_json_schema()
    body = {"schema": {"type": "object", "properties": schema["properties"]}}
    content = {"application/json": body, "application/x-www-form-urlencoded": body}
    return {**_query_and_headers(schema["properties"]), "requestBody": {"required": False, "content": content}}


def _query_and_headers(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "parameters": [
            *(_query_parameter(name, schema) for name, schema in properties.items()),
            _header("X-Request-ID", "Echoed; one is made where there is none.", {"type": "string"}),
            _header("X-Request-Timeout", "Seconds that the answer may take.", {"type": "number"}),
            _header("Cache-Control", "`no-cache`: work it out anew. `no-store`: and keep nothing.", {"type": "string"}),
        ]
    }


def _signals() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A signal as a body, as a member of a JSON body, and as an example of one."""
    numbers = [round(0.01 * place, 2) for place in range(40)]
    body = {"text/csv": {"schema": {"type": "string"}, "example": ",".join(map(str, numbers))}}
    description = "In place of images, for a model of signals: as many numbers as it takes."
    member = {"signal": {"type": "array", "items": {"type": "number"}, "description": description}}
    return body, member, {"a signal": {"value": {"signal": numbers, "model": "mnist-1d"}}}


def describe_named(body: type[BaseModel] | None) -> dict[str, Any]:
    """The path parameter and the request body of an endpoint of a model, as OpenAPI.

    Args:
        body: The schema of the body; None where there is none.
    """
    schema = {"type": "string", "description": "Name of the model, or NAME@VERSION."}
    parameters = [{"name": "name", "in": "path", "required": True, "schema": schema}]
    if body is None:
        return {"parameters": parameters}
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"parameters": parameters, "requestBody": {"content": content}}


def describe_feedback() -> dict[str, Any]:
    """The request body of `POST /v1/feedback`, as OpenAPI, with an example for each kind of model."""
    box = {"x_min": 14.0, "y_min": 110.0, "x_max": 334.0, "y_max": 512.0}
    mask = {"size": [4, 4], "counts": "52203"}
    targets: dict[str, dict[str, Any]] = {
        "a classifier": {"class": "Egyptian cat"},
        "a detector": {"objects": [{"class": "person", "box": box}, {"class": 0, "box": box, "crowd": True}]},
        "a detector, nothing there": {"objects": []},
        "an instance model": {"objects": [{"class": "person", "mask": mask}]},
        "a semantic model": {"masks": [{"class": "person", "mask": mask}]},
        "a semantic model, class map": {"class_map": _CLASS_MAP},
    }
    schema = FeedbackRequest.model_json_schema()
    examples = {
        name: {"value": {"request_id": "5f0c8a52a8d14d4c", "index": 0, "target": target}}
        for name, target in targets.items()
    }
    content = {"application/json": {"schema": schema, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


_LIVE: dict[str, Any] = {"samples": 412, "since": "2026-11-21T08:03:10+00:00", "figures": {"top1": 0.864078}}

FEEDBACK_EXAMPLE: dict[str, Any] = {
    "model": "efficientnet-lite0",
    "version": "1",
    "request_id": "5f0c8a52a8d14d4c",
    "index": 0,
    "figures": {"top1": 1.0},
    "live": _LIVE,
}
"""Example response to `POST /v1/feedback`."""

ACCURACY_EXAMPLE: dict[str, Any] = {
    "models": [
        {
            "name": "efficientnet-lite0",
            "version": "1",
            "task": "classification",
            "weights_digest": "0123456789abcdef",
            "offline": [
                {
                    "dataset": "imagenet-sample",
                    "dataset_digest": "fedcba9876543210",
                    "kind": "classification",
                    "through": "adapter",
                    "images": 500,
                    "finished_at": "2026-11-20T09:12:44+00:00",
                    "age_s": 86400.0,
                    "version": "1",
                    "weights_match": True,
                    "figures": {"top1": {"value": 0.88, "low": 0.852, "high": 0.906}},
                    "protocol": {"top_k": 5},
                }
            ],
            "live": _LIVE,
            "drift": {
                "images": 1000,
                "dataset": "imagenet-sample",
                "reference_images": 500,
                "population_stability_index": {"score": 0.031, "class": 0.052},
                "expected_by_chance": {"score": 0.027, "class": 0.06},
            },
        }
    ]
}
"""Example response to `GET /v1/accuracy`."""


def describe_answer(description: str, example: Mapping[str, Any]) -> dict[str, Any]:
    """The `responses` entry of status 200, with an example."""
    return {"description": description, "content": {"application/json": {"example": example}}}


def _without_lists(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter outside JSON, where a list is text with commas."""
    if all(kind.get("type") != "array" for kind in schema.get("anyOf", ())):
        return schema
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, "type": "string"}


def _query_parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    description = schema.get("description", "")
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _header(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}
