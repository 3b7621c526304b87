"""The request path of all protocols: from encoded images and parameters to predictions, with metrics and logging.

A protocol parses its requests to `PredictionInput`, and writes its responses from the answers. The steps between are
shared: admission, time limit, model, header checks, cache, single flight, batching, metrics and the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

import structlog

from models.entries import Task
from services.errors import ServiceError
from services.gateway.accuracy.answer_log import AnswerLog
from services.gateway.serving.admission import ConcurrencyLimiter
from services.gateway.serving.decodes import Decodes
from services.gateway.serving.inspection import Inspector
from services.gateway.serving.on_demand import OnDemand
from services.gateway.serving.open_request import OpenRequest, open_request
from services.gateway.serving.predictor import Answer, CachePolicy, PredictionRequest, Predictor
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel
from services.gateway.serving.traffic_log import TrafficLog
from services.gateway.shadow.shadow_image import ShadowImage
from services.kinds.request_parameters import RequestParameters
from services.telemetry import (
    LAST_REQUEST_TIME,
    REQUEST_IMAGES,
    REQUEST_SECONDS,
    REQUESTS,
    REQUESTS_FAILED_SECONDS,
    labelled,
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PredictionInput:
    """A parsed and validated prediction request.

    Attributes:
        images: The encoded images; an error where one could not be extracted from the request. Of a task that takes
            no images, no bytes.
        several: Whether the client sent a list, and gets a list back, in which an image may fail alone.
        parameters: Validated parameters of the task.
    """

    images: tuple[bytes | ServiceError, ...]
    several: bool
    parameters: RequestParameters


@dataclass(frozen=True, slots=True)
class Caller:
    """The client of a request.

    Attributes:
        tenant: Id of the API key.
        request_id: Of the request, unique to the tenant.
        part: Which part of the request it is, of an analysis; empty for a whole request.
    """

    tenant: str
    request_id: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class RequestPath:
    """Handles the prediction requests of all tasks and protocols.

    Attributes:
        registry: Finds the models.
        inspector: Validates image headers, and signals.
        predictor: Predicts one image.
        limiter: Limits the requests in flight.
        answer_log: Records answers for feedback.
        traffic: Counts requests by version.
        offer_shadow: Takes images that a shadow version also answers; it does not block, and never raises.
        cache_shared: Whether clients share cached answers.
        on_demand: Loads models by their first request.
    """

    registry: Registry
    inspector: Inspector
    predictor: Predictor
    limiter: ConcurrencyLimiter
    answer_log: AnswerLog
    traffic: TrafficLog
    offer_shadow: Callable[[ShadowImage], None]
    cache_shared: bool
    on_demand: OnDemand

    def open(
        self, caller: Caller, timeout_s: Callable[[], float], task: Task = ""
    ) -> AbstractAsyncContextManager[OpenRequest]:
        """Admit a request; when the context ends, it is counted and logged. See `open_request`.

        Args:
            caller: The client.
            timeout_s: Reads its time limit; may raise a ServiceError.
            task: Of the endpoint; empty where only the model tells it.
        """
        return open_request(self.limiter, timeout_s, partial(self._record, caller), caller.request_id, task)

    def open_part(self, caller: Caller, task: Task, seconds: float) -> AbstractAsyncContextManager[OpenRequest]:
        """Begin a part of a request that has been admitted; when the context ends, it is counted and logged.

        Args:
            caller: The client.
            task: Of the part.
            seconds: Its time limit.
        """
        return open_request(None, lambda: seconds, partial(self._record, caller), caller.request_id, task)

    async def check(
        self, opened: OpenRequest, task: Task, given: PredictionInput
    ) -> tuple[ServedModel, PredictionInput]:
        """Find the version that answers, and check the headers of the images.

        Returns:
            The version, and the input with an error in the place of each image that cannot be accepted.

        Raises:
            ServiceError: there is no such model, or the only image cannot be accepted.
        """
        await self.on_demand.ensure_loaded(opened, task, given.parameters.model)
        served = self.registry.find(task, given.parameters.model)
        if not _names_version(given, served):
            served = self.registry.canary_of(served, opened.request_id)
        opened.task, opened.model, opened.version = task, served.name, served.version
        opened.images = len(given.images)
        if not served.takes_images:
            return served, given
        checked = await self.inspector.check(given.images, opened.limit, served.signal_length)
        return served, PredictionInput(checked, given.several, given.parameters)

    async def answer(
        self,
        opened: OpenRequest,
        caller: Caller,
        served: ServedModel,
        given: PredictionInput,
        policy: CachePolicy,
        decodes: Decodes | None = None,
    ) -> list[Answer | ServiceError]:
        """Predict all images of a request, which holds a slot of the limiter meanwhile.

        Args:
            opened: The request.
            caller: The client; the answers are recorded for its feedback.
            served: The model.
            given: Images and parameters.
            policy: Whether the cache is read and written.
            decodes: Decodes that the models of an analysis share.

        Returns:
            One for each image, in their order.

        Raises:
            ServiceError: the parameters do not fit the model, or the only image failed.
        """
        given.parameters.check(len(given.images))
        scope = "" if self.cache_shared else caller.tenant
        is_pinned = _names_version(given, served)
        asked = PredictionRequest.of(served, given.parameters.complete, scope, is_pinned=is_pinned)

        async def answer(image: bytes | ServiceError) -> Answer:
            if isinstance(image, ServiceError):
                raise image
            shared = asked if decodes is None else decodes.share(asked, image)
            return await self.predictor.answer(shared, image, policy, opened.deadline_s)

        answers: list[Answer | ServiceError]
        if given.several:
            results = await asyncio.gather(*map(answer, given.images), return_exceptions=True)
            answers = [_as_item_error(result) for result in results]
        else:
            answers = [await answer(given.images[0])]
        opened.version = answering_version(answers, served)
        opened.cached = any(isinstance(answer, Answer) and answer.cached for answer in answers)
        opened.failed = any(isinstance(answer, ServiceError) and answer.status >= 500 for answer in answers)
        self.answer_log.remember(caller.tenant, caller.request_id, answers, policy, caller.part)
        if policy.write and not is_pinned:
            self._shadow(caller, given, answers)
        if any(isinstance(answer, ServiceError) for answer in answers):
            opened.outcome = "partial"
        return answers

    def _shadow(self, caller: Caller, given: PredictionInput, answers: Sequence[Answer | ServiceError]) -> None:
        """Offer the images of a request to the shadow of its model, except those that the cache answered.

        Those with proposals are not offered: the shadow may have one stage, and agreement is about what models find.
        Nor are those that were decoded at a finer scale than the shadow would decode them.
        """
        for index, (image, answer) in enumerate(zip(given.images, answers, strict=True)):
            if isinstance(image, ServiceError) or isinstance(answer, ServiceError) or answer.cached:
                continue
            if answer.request.has_proposals or answer.request.decoded:
                continue
            shadow = self.registry.shadow_of(answer.model, caller.request_id)
            if shadow is not None:
                self.offer_shadow(ShadowImage.of(caller.tenant, caller.request_id, index, image, answer, shadow))

    def _record(self, caller: Caller, opened: OpenRequest) -> None:
        task, model, version, took_s = opened.task, opened.model, opened.version, opened.elapsed_s
        labelled(REQUESTS, task, model, version, opened.outcome).inc()
        labelled(REQUEST_SECONDS, task, model, version).observe(took_s)
        labelled(LAST_REQUEST_TIME, task, model).set_to_current_time()
        if opened.outcome not in ("ok", "partial"):
            labelled(REQUESTS_FAILED_SECONDS, task, model, version).inc(took_s)
        if opened.images:
            labelled(REQUEST_IMAGES, task, model).inc(opened.images)
        self.traffic.count(opened)
        log.info(
            "request",
            request_id=caller.request_id,
            task=task,
            model=model,
            version=version,
            outcome=opened.outcome,
            images=opened.images,
            ms=round(took_s * 1e3, 2),
        )


def _names_version(given: PredictionInput, served: ServedModel) -> bool:
    """Whether a request names the version, and no other may answer it."""
    return given.parameters.model not in (None, served.name)


def answering_version(answers: Sequence[Answer | ServiceError], served: ServedModel) -> str:
    """The version that answered the first image that has an answer; without one, the version that was asked."""
    return next((answer.model.version for answer in answers if isinstance(answer, Answer)), served.version)


def _as_item_error(answer: Answer | BaseException) -> Answer | ServiceError:
    if isinstance(answer, Answer | ServiceError):
        return answer
    if isinstance(answer, Exception):
        log.error("prediction failed", exc_info=answer)
        return ServiceError("the model failed on this image")
    raise answer
