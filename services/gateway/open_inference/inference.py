"""Inference by the Open Inference Protocol: from its messages to the request path of all protocols, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final, TypeVar

import orjson

from services.errors import InvalidParameters, ServiceError
from services.gateway.inputs import NO_IMAGE
from services.gateway.open_inference.images import read_images
from services.gateway.open_inference.messages import InferRequest, InferResponse, Parameter, RequestedOutput
from services.gateway.open_inference.outputs import outputs_of, usual_outputs
from services.gateway.open_inference.parameters import TIMEOUT, Wanted, read_parameters
from services.gateway.open_inference.tensors import OutputTensor
from services.gateway.serving.offload import INLINE_BYTES, TimeLimit, Workers
from services.gateway.serving.open_request import OpenRequest
from services.gateway.serving.predictor import Answer, CachePolicy
from services.gateway.serving.request_path import Caller, PredictionInput, RequestPath
from services.gateway.serving.served_model import ServedModel
from services.kinds.request_parameters import RequestParameters
from services.settings import Settings

T = TypeVar("T")

_MAX_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Inference:
    """Handles requests for inference of all transports.

    Attributes:
        path: The request path.
        settings: Caps on images.
        workers: Threads for requests and responses that would block the event loop.
    """

    path: RequestPath
    settings: Settings
    workers: Workers

    async def infer(
        self, opened: OpenRequest, caller: Caller, name: str, sent: InferRequest, policy: CachePolicy
    ) -> InferResponse:
        """Predict the images of a request.

        Args:
            opened: The request.
            caller: The client.
            name: Name of the model, or `NAME@VERSION`.
            sent: The request, whose inputs are not decoded yet.
            policy: Whether the cache is read and written.

        Raises:
            ServiceError: the request is invalid, or one of its images failed.
        """
        await self.path.on_demand.ensure_loaded(opened, "", name)
        model = self.path.registry.get(name)
        _limit_time(opened, sent.parameters)
        wanted = _wanted(model, sent)
        parameters = read_parameters(model, name, sent, wanted)
        given = await self._read(model, parameters, sent, opened.limit)
        served, given = await self.path.check(opened, model.task, given)
        with self.path.limiter.slot():
            answers = await self.path.answer(opened, caller, served, given, policy)
            return await self._respond(answers, wanted, sent, opened.limit)

    async def _read(
        self, model: ServedModel, parameters: RequestParameters, sent: InferRequest, limit: TimeLimit
    ) -> PredictionInput:
        if not model.takes_images:
            if sent.inputs:
                raise InvalidParameters(f"{model.name} takes no inputs: send its parameters alone")
            return PredictionInput((NO_IMAGE,), False, parameters)

        def read() -> tuple[bytes | ServiceError, ...]:
            return read_images(sent.inputs, self.settings.max_images_per_request, self.settings.max_image_pixels, limit)

        images = await self.work(read, sent.size, limit)
        return PredictionInput(images, len(images) > 1, parameters)

    async def _respond(
        self,
        answers: Sequence[Answer | ServiceError],
        wanted: Wanted,
        sent: InferRequest,
        limit: TimeLimit,
    ) -> InferResponse:
        found: list[Answer] = []
        for index, answer in enumerate(answers):
            if isinstance(answer, ServiceError):
                raise _of_image(answer, index) if len(answers) > 1 else answer
            found.append(answer)

        def write() -> tuple[OutputTensor, ...]:
            documents = [orjson.loads(answer.body) for answer in found]
            limit.check()
            return tuple(
                output.top_classes(documents, named.classes) if named.classes else output.tensor(documents)
                for output, named in wanted
            )

        has_pixels = any(output.datatype == "UINT8" for output, _ in wanted)
        size = sum(len(answer.body) for answer in found)
        tensors = await self.work(write, INLINE_BYTES + 1 if has_pixels else size, limit)
        model = found[0].model
        return InferResponse(model.name, model.version, sent.id, tensors)

    async def work(self, work: Callable[[], T], size: int, limit: TimeLimit) -> T:
        """Run work on a message: in a thread where it is large.

        Args:
            work: What to do.
            size: Bytes of the message.
            limit: Time limit of the request.
        """
        return work() if size <= INLINE_BYTES else await self.workers.run(work, limit)


def _wanted(model: ServedModel, sent: InferRequest) -> Wanted:
    """The outputs of the response, and how the client wants each."""
    parts = model.entry.get("parts", ())
    if not sent.outputs:
        return [(output, RequestedOutput(output.name, sent.is_binary)) for output in usual_outputs(model.kind, parts)]
    known = {output.name: output for output in outputs_of(model.kind, parts)}
    wanted: Wanted = []
    for named in sent.outputs:
        output = known.get(named.name)
        if output is None:
            message = f"unexpected output {named.name[:80]!r} of {model.name}; it has {', '.join(known)}"
            raise InvalidParameters(message, {"known": list(known)})
        if named.classes and not output.has_classes:
            raise InvalidParameters(f"output {named.name!r} has no classification; probabilities of a classifier have")
        wanted.append((output, named))
    return wanted


def _limit_time(opened: OpenRequest, parameters: Mapping[str, Parameter]) -> None:
    microseconds = parameters.get(TIMEOUT, 0)
    if isinstance(microseconds, str) and microseconds.isascii() and microseconds.isdecimal():
        microseconds = int(microseconds[:18])
    if isinstance(microseconds, (bool, str)) or not microseconds >= 0:
        raise InvalidParameters("timeout must be a number of microseconds", {"parameter": TIMEOUT})
    if microseconds:
        opened.shorten(min(microseconds / 1e6, _MAX_SECONDS))


def _of_image(error: ServiceError, index: int) -> ServiceError:
    """The error of one image of several; a copy, as others may be waiting for the same."""
    error = copy(error)
    error.message = f"image {index}: {error.message}"
    return error
