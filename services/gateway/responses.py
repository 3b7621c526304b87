"""Builds HTTP responses from answers: one image or a list, as Tapetum's JSON or in COCO's results format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any, TypeVar

import orjson
from blake3 import blake3
from starlette.requests import Request
from starlette.responses import Response

from services.errors import ServiceError
from services.gateway.serving.offload import INLINE_BYTES, TimeLimit, Workers
from services.gateway.serving.predictor import KEY_PREFIX, Answer
from services.gateway.serving.request_path import PredictionInput, answering_version
from services.gateway.serving.served_model import ServedModel
from services.kinds.detection import BOX_MEMBERS, PIXEL_DIGITS
from services.kinds.keypoints import coco_key_points
from services.kinds.request_parameters import CocoParameters
from services.telemetry import IMAGE_ERRORS

T = TypeVar("T")

Answers = Sequence[Answer | ServiceError]


class Responder:
    """Builds JSON responses, large ones in threads.

    Args:
        workers: The threads.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def respond(
        self, request: Request, served: ServedModel, given: PredictionInput, answers: Answers, limit: TimeLimit
    ) -> Response:
        """Builds the response to a request, in the requested format.

        Args:
            request: The request; its id is part of the response.
            served: The model of the request.
            given: Images and parameters of the request.
            answers: One for each image, in their order.
            limit: Time limit of the request.

        Raises:
            ServiceError: the only image failed, or one of several failed and the format has no field for an error; or
                the time limit has passed.
        """
        for answer in answers if given.several else ():
            if isinstance(answer, ServiceError):
                IMAGE_ERRORS.labels(served.task, answer.code).inc()
        parameters = given.parameters
        if isinstance(parameters, CocoParameters) and parameters.format == "coco":
            image_ids = parameters.image_id or range(len(answers))
            return await self.make(answers, lambda: coco_response(image_ids, answers, limit), limit)
        if given.several:
            return await self.make(answers, lambda: list_response(request, served, answers), limit)
        return single_response(request, answers[0])

    async def make(self, answers: Answers, make: Callable[[], T], limit: TimeLimit) -> T:
        """Calls `make`, in a thread where the answers that it reads are large."""
        size = sum(len(answer.body) for answer in answers if isinstance(answer, Answer))
        return make() if size <= INLINE_BYTES else await self._workers.run(make, limit)


def single_response(request: Request, answer: Answer | ServiceError) -> Response:
    """The response for one image: the replica's JSON, inserted into the JSON object of the request."""
    if isinstance(answer, ServiceError):
        raise answer
    tail = orjson.dumps({"cached": answer.cached, "request_id": request.state.request_id})
    body = b"".join((answer.model.answer_prefix, b",", memoryview(answer.body)[1:-1], b",", tail[1:]))
    return _json_response(body, answer.key)


def list_response(request: Request, served: ServedModel, answers: Answers) -> Response:
    """The response for several images: a result or an error for each, in their order.

    It has the model version of the first image; results of another version have their own.
    """
    request_id = request.state.request_id
    version = answering_version(answers, served)
    results: list[Any] = []
    for answer in answers:
        if isinstance(answer, ServiceError):
            results.append({"error": {**answer.to_dict(), "request_id": request_id}})
        else:
            more: dict[str, Any] = {"cached": answer.cached}
            if answer.model.version != version:
                more["version"] = answer.model.version
            results.append(orjson.Fragment(answer.body[:-1] + b"," + orjson.dumps(more)[1:]))
    body = orjson.dumps({"model": served.name, "version": version, "results": results, "request_id": request_id})
    return _json_response(body, _joint_key(answers))


def coco_response(image_ids: Sequence[int | str], answers: Answers, limit: TimeLimit) -> Response:
    """All objects of all images in COCO's results format.

    Category ids are those of the model's data set (`category_ids` of its catalog entry), or else count from 1.
    An object with a mask has no box: pycocotools would take the box's area for that of the object (`COCO.loadRes`).
    Source: https://cocodataset.org/#format-results

    Args:
        image_ids: One for each image.
        answers: One for each image.
        limit: Time limit of the request.

    Raises:
        ServiceError: the first error among the answers, for which the format has no field; or the time limit has
        passed.
    """
    results: list[dict[str, Any]] = []
    for image_id, answer in zip(image_ids, answers, strict=True):
        limit.check()
        if isinstance(answer, ServiceError):
            error = copy(answer)  # others may be waiting for the same
            error.details = {**answer.details, "image_id": image_id}
            raise error
        category_ids: Sequence[int] | None = answer.model.entry.get("category_ids")
        for found in orjson.loads(answer.body)["predictions"]:
            class_id = found["class_id"]
            results.append(
                {
                    "image_id": image_id,
                    "category_id": category_ids[class_id] if category_ids else class_id + 1,
                    **_coco_shape(found),
                    "score": found.get("pose_score", found["score"]),
                }
            )
    return _json_response(orjson.dumps(results), _joint_key(answers, "coco", orjson.dumps(list(image_ids)).decode()))


def _coco_shape(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a result measures by: its key points, its mask or its box."""
    if "keypoints" in found:
        return {"keypoints": coco_key_points(found["keypoints"])}
    return {"segmentation": found["mask"]} if "mask" in found else {"bbox": _coco_box(found["box"])}


def _coco_box(box: dict[str, float]) -> list[float]:
    x_min, y_min, x_max, y_max = (box[member] for member in BOX_MEMBERS)
    return [x_min, y_min, round(x_max - x_min, PIXEL_DIGITS), round(y_max - y_min, PIXEL_DIGITS)]


def _joint_key(answers: Answers, *shape: str) -> str:
    """One key for several answers and their format."""
    keys = (answer.key for answer in answers if isinstance(answer, Answer))
    return KEY_PREFIX + blake3("".join((*keys, *shape)).encode()).hexdigest()


def _json_response(body: bytes, key: str) -> Response:
    return Response(body, media_type="application/json", headers={"etag": entity_tag(key)})


def entity_tag(key: str, kind: str = "") -> str:
    """The `ETag` header of a response.

    Args:
        key: Cache key of the answer.
        kind: Distinguishes representations of the same answer.
    """
    return f'W/"{key.removeprefix(KEY_PREFIX)[:32]}{kind}"'
