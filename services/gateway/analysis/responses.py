"""Writes the JSON of an analysis: the answers of all tasks for one image or a list, each as its endpoint has it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import orjson
from blake3 import blake3
from starlette.responses import Response

from services.errors import ServiceError
from services.gateway.analysis.parameters import PARTS
from services.gateway.analysis.parts import PartAnswers
from services.gateway.responses import entity_tag
from services.gateway.serving.predictor import KEY_PREFIX, Answer
from services.telemetry import IMAGE_ERRORS

_SIZE_STARTS = b'{"image":{'
_SIZE_ENDS = b"},"


def single_response(parts: Sequence[PartAnswers], request_id: str) -> Response:
    """The response for one image.

    Raises:
        ServiceError: no task has an answer.
    """
    body = orjson.dumps({**_analysis(parts, 0, request_id), "request_id": request_id})
    return _response(body, parts)


def list_response(parts: Sequence[PartAnswers], request_id: str) -> Response:
    """The response for several images: the answers to each, or an error where no task has one, in their order."""
    results: list[Any] = []
    for index in range(len(parts[0].answers)):
        try:
            results.append(_analysis(parts, index, request_id))
        except ServiceError as error:
            results.append({"error": {**error.to_dict(), "request_id": request_id}})
    return _response(orjson.dumps({"results": results, "request_id": request_id}), parts)


def joint_key(parts: Sequence[PartAnswers]) -> str:
    """One key for the answers of all tasks, as for the result cache."""
    keys = (
        f"{part.name}={answer.key if isinstance(answer, Answer) else answer.code}"
        for part in parts
        for answer in part.answers
    )
    return KEY_PREFIX + blake3("\0".join(keys).encode()).hexdigest()


def failure_of(parts: Sequence[PartAnswers], index: int) -> ServiceError:
    """The error of an image for which no task has an answer: the first one, with all of them as details."""
    errors = {part.name: answer for part in parts if isinstance(answer := part.answers[index], ServiceError)}
    error = copy(next(iter(errors.values())))  # others may be waiting for the same
    if len({each.code for each in errors.values()}) > 1:
        error.details = {**error.details, "errors": {name: each.to_dict() for name, each in errors.items()}}
    return error


def _analysis(parts: Sequence[PartAnswers], index: int, request_id: str) -> dict[str, Any]:
    """The answers to one image.

    Raises:
        ServiceError: no task has an answer.
    """
    size: bytes | None = None
    answers: dict[str, Any] = {}
    for part in parts:
        answer = part.answers[index]
        if isinstance(answer, ServiceError):
            IMAGE_ERRORS.labels(PARTS[part.name].task, answer.code).inc()
            answers[part.name] = {"error": {**answer.to_dict(), "request_id": request_id}}
            continue
        size, rest = _split(answer.body)
        tail = b',"cached":true}' if answer.cached else b',"cached":false}'
        answers[part.name] = orjson.Fragment(b"".join((answer.model.answer_prefix, b",", rest, tail)))
    if size is None:
        raise failure_of(parts, index)
    return {"image": orjson.Fragment(size), "answers": answers}


def _split(body: bytes) -> tuple[bytes, bytes]:
    """The size of the image in an answer, and its other members without their braces, both as JSON.

    The size comes first (`services.answers.wire.describe_prediction`), so that masks are not parsed.
    """
    if body.startswith(_SIZE_STARTS):
        end = body.index(_SIZE_ENDS) + 1
        return body[len(_SIZE_STARTS) - 1 : end], body[end + 1 : -1]
    members = orjson.loads(body)
    return orjson.dumps(members.pop("image")), orjson.dumps(members)[1:-1]


def _response(body: bytes, parts: Sequence[PartAnswers]) -> Response:
    return Response(body, media_type="application/json", headers={"etag": entity_tag(joint_key(parts))})
