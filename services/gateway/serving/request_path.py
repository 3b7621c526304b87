"""The request path of all protocols: from encoded images and parameters to predictions, with metrics and logging.

A protocol parses its requests to `PredictionInput`, and writes its responses from the answers. The steps between are
shared: admission, time limit, model, header checks, cache, single flight, batching, metrics and the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog

from models.entries import Task
from services.errors import ServiceError
from services.gateway.accuracy.answer_log import AnswerLog
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.inspection import Inspector
from services.gateway.serving.open_request import OpenRequest, open_request
from services.gateway.serving.predictor import Answer, CachePolicy, PredictionRequest, Predictor
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel
from services.kinds.request_parameters import TaskParameters
from services.telemetry import (
    LAST_REQUEST_TIME,
    REQUEST_IMAGES,
    REQUEST_SECONDS,
    REQUESTS,
    REQUESTS_FAILED_SECONDS,
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PredictionInput:
    """A parsed and validated prediction request.

    Attributes:
        images: The encoded images; an error where one could not be extracted from the request.
        several: Whether the client sent a list, and gets a list back, in which an image may fail alone.
        parameters: Validated parameters of the task.
    """

    images: tuple[bytes | ServiceError, ...]
    several: bool
    parameters: TaskParameters


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request.

    Attributes:
        tenant: Id of the API key.
        request_id: Of the request, unique to the tenant.
    """

    tenant: str
    request_id: str


@dataclass(frozen=True, slots=True)
class RequestPath:
    """Handles the prediction requests of all tasks and protocols.

    Attributes:
        registry: Finds the models.
        inspector: Validates image headers.
        predictor: Predicts one image.
        limiter: Limits the requests in flight.
        answer_log: Records answers for feedback.
        cache_shared: Whether clients share cached answers.
    """

    registry: Registry
    inspector: Inspector
    predictor: Predictor
    limiter: ConcurrencyLimiter
    answer_log: AnswerLog
    cache_shared: bool

    def open(
        self, caller: Caller, timeout_s: Callable[[], float], task: Task = ""
    ) -> AbstractAsyncContextManager[OpenRequest]:
        """Admit a request; when the context ends, it is counted and logged. See `open_request`.

        Args:
            caller: The client.
            timeout_s: Reads its time limit; may raise a ServiceError.
            task: Of the endpoint; empty where only the model tells it.
        """
        return open_request(self.limiter, timeout_s, lambda opened: _record(caller, opened), task)

    async def check(
        self, opened: OpenRequest, task: Task, given: PredictionInput
    ) -> tuple[ServedModel, PredictionInput]:
        """Find the model, and check the headers of the images.

        Returns:
            The model, and the input with an error in the place of each image that cannot be accepted.

        Raises:
            ServiceError: there is no such model, or the only image cannot be accepted.
        """
        served = self.registry.find(task, given.parameters.model)
        opened.task, opened.model, opened.images = task, served.name, len(given.images)
        checked = await self.inspector.check(given.images, opened.limit)
        return served, PredictionInput(checked, given.several, given.parameters)

    async def answer(
        self, opened: OpenRequest, caller: Caller, served: ServedModel, given: PredictionInput, policy: CachePolicy
    ) -> list[Answer | ServiceError]:
        """Predict all images of a request, which holds a slot of the limiter meanwhile.

        Args:
            opened: The request.
            caller: The client; the answers are recorded for its feedback.
            served: The model.
            given: Images and parameters.
            policy: Whether the cache is read and written.

        Returns:
            One for each image, in their order.

        Raises:
            ServiceError: the parameters do not fit the model, or the only image failed.
        """
        given.parameters.check(len(given.images))
        scope = "" if self.cache_shared else caller.tenant
        is_pinned = given.parameters.model not in (None, served.name)
        asked = PredictionRequest.of(served, given.parameters.complete, scope, is_pinned=is_pinned)

        async def answer(image: bytes | ServiceError) -> Answer:
            if isinstance(image, ServiceError):
                raise image
            return await self.predictor.answer(asked, image, policy, opened.deadline_s)

        answers: list[Answer | ServiceError]
        if given.several:
            results = await asyncio.gather(*map(answer, given.images), return_exceptions=True)
            answers = [_as_item_error(result) for result in results]
        else:
            answers = [await answer(given.images[0])]
        self.answer_log.remember(caller.tenant, caller.request_id, answers, policy)
        if any(isinstance(answer, ServiceError) for answer in answers):
            opened.outcome = "partial"
        return answers


def _as_item_error(answer: Answer | BaseException) -> Answer | ServiceError:
    if isinstance(answer, Answer | ServiceError):
        return answer
    if isinstance(answer, Exception):
        log.error("prediction failed", exc_info=answer)
        return ServiceError("the model failed on this image")
    raise answer


def _record(caller: Caller, opened: OpenRequest) -> None:
    task, model, took_s = opened.task, opened.model, opened.elapsed_s
    REQUESTS.labels(task, model, opened.outcome).inc()
    REQUEST_SECONDS.labels(task, model).observe(took_s)
    LAST_REQUEST_TIME.labels(task, model).set_to_current_time()
    if opened.outcome not in ("ok", "partial"):
        REQUESTS_FAILED_SECONDS.labels(task, model).inc(took_s)
    if opened.images:
        REQUEST_IMAGES.labels(task, model).inc(opened.images)
    log.info(
        "request",
        request_id=caller.request_id,
        task=task,
        model=model,
        outcome=opened.outcome,
        images=opened.images,
        ms=round(took_s * 1e3, 2),
    )
