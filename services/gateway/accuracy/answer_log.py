"""Remembers which answer each request got, for as long as feedback on it is accepted.

Kept are the model and the key of the answer in the result cache: no image, and no second copy of the answer. Of a
request with `Cache-Control: no-store` nothing is kept. Request ids are chosen by clients, so a receipt is found only
with the API key that the request came with: no client can see, replace or judge the answers of another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import orjson
from blake3 import blake3
from pydantic import TypeAdapter, ValidationError

from services.accuracy.store import ModelKey
from services.errors import FeedbackOff, FeedbackUnavailable, InvalidParameters, ServiceError, UnknownAnswer
from services.gateway.accuracy.feedback_store import FeedbackStore, StoreFailed
from services.gateway.serving.answer_shapes import is_answer
from services.gateway.serving.cache import ResultCache
from services.gateway.serving.predictor import KEY_PREFIX, Answer, CachePolicy
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel
from services.settings import Settings

SECOND_LOOK_S: Final = 0.2
"""Another gateway writes its receipts a moment after the response: a missing one is looked up once more."""


class Receipt(NamedTuple):
    """What is kept of the answer to one image.

    Attributes:
        model: Name of the model that answered.
        version: Its version.
        weights_digest: Of its weights.
        class_ids: The classes that were asked for; None where all were.
        cache_digest: What the answer is cached under, without the prefix.
    """

    model: str
    version: str
    weights_digest: str
    class_ids: tuple[int, ...] | None
    cache_digest: str

    @classmethod
    def of(cls, answer: Answer) -> Receipt:
        """Of an answer that is about to be sent."""
        class_ids = answer.question.parameters.get("class_ids")
        return cls(*answer.model.key, class_ids, answer.key.removeprefix(KEY_PREFIX))


_LINE: Final = TypeAdapter(tuple[Receipt | None, ...])
"""One for each image of a request; None is an image that has no answer."""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """The answer to one image of a request.

    Attributes:
        model: The version that answered.
        class_ids: The classes that were asked for; None where all were.
        claim: Names the answer among all that were given.
        body: The JSON object that was answered.
    """

    model: ServedModel
    class_ids: Sequence[int] | None
    claim: str
    body: bytes


class AnswerLog:
    """Remembers which answer each request got.

    Args:
        store: Keeps a line for each request.
        cache: Keeps the answers; None where caching is off, and so is feedback.
        registry: Knows the versions of the models.
        settings: Say for how long.
    """

    def __init__(self, store: FeedbackStore, cache: ResultCache | None, registry: Registry, settings: Settings) -> None:
        self._store = store
        self._cache = cache
        self._registry = registry
        self._ttl_s = settings.feedback_ttl_s
        self._is_on = cache is not None and settings.feedback_ttl_s > 0

    def remember(
        self, tenant: str, request_id: str, answers: Sequence[Answer | ServiceError], policy: CachePolicy
    ) -> None:
        """Keep which answers a request was given. It takes microseconds, waits for nothing, and never raises.

        Args:
            tenant: Id of the client; see `services.gateway.limits.ApiKeys.check`.
            request_id: The request; of two with the same id the later one is kept.
            answers: One for each image.
            policy: Whether the answer may be stored.
        """
        if not (self._is_on and policy.write):
            return
        line = orjson.dumps([[*Receipt.of(answer)] if isinstance(answer, Answer) else None for answer in answers])
        cached = [answer.key for answer in answers if isinstance(answer, Answer) and answer.cached]
        self._store.remember(_name(tenant, request_id), line, self._ttl_s, cached)

    async def find(self, tenant: str, request_id: str, index: int) -> GivenAnswer:
        """The answer to one image of a request.

        Raises:
            FeedbackOff: nothing is kept at all.
            UnknownAnswer: nothing is kept of this request (any more), or the image had an error, or the weights that
                answered are served no more.
            InvalidParameters: the request had fewer images.
            FeedbackUnavailable: what keeps it is down or slow.
        """
        if not self._is_on:
            raise FeedbackOff("no answers are kept here to compare the truth with: caching or feedback is turned off")
        for pause_s in (SECOND_LOOK_S, 0.0):
            if found := await self._look(_name(tenant, request_id), request_id, index):
                return found
            await asyncio.sleep(pause_s)
        raise UnknownAnswer(
            f"no answer is kept for image {index} of request {request_id}: none was given, or it is too long ago, or "
            "it was not to be stored, or is too large for that, or it was asked for with another API key",
            {"request_id": request_id, "index": index},
        )

    async def _look(self, name: str, request_id: str, index: int) -> GivenAnswer | None:
        assert self._cache is not None
        receipts = await self._recall(name)
        if receipts is None:
            return None
        images = len(receipts)
        if index >= images:
            message = f"index: the request had {images} image{'s' if images > 1 else ''}"
            raise InvalidParameters(message, {"parameter": "index", "images": images})
        receipt = receipts[index]
        if receipt is None:
            raise UnknownAnswer(f"image {index} of request {request_id} has no answer", {"index": index})
        lookup = await self._cache.get(KEY_PREFIX + receipt.cache_digest)
        if lookup.failed:
            raise _unavailable()
        if lookup.body is None:
            return None
        model = self._registry.with_weights(ModelKey(receipt.model, receipt.version, receipt.weights_digest))
        if model is None:
            message = f"the answer to request {request_id} is of weights that are served no more"
            raise UnknownAnswer(message, {"request_id": request_id, "index": index})
        if not await is_answer(model, lookup.body):
            raise _unavailable()
        return GivenAnswer(model, receipt.class_ids, f"{name}:{index}:{receipt.cache_digest[-16:]}", lookup.body)

    async def _recall(self, name: str) -> tuple[Receipt | None, ...] | None:
        """The receipts of a request; None where there are none, or what is kept is something else."""
        try:
            line = await self._store.recall(name)
        except StoreFailed:
            raise _unavailable() from None
        try:
            return None if line is None else _LINE.validate_json(line)
        except ValidationError:
            return None


def _name(tenant: str, request_id: str) -> str:
    """What the receipts of a request are kept under."""
    return blake3(f"{tenant}\0{request_id}".encode()).hexdigest(length=16)


def _unavailable() -> FeedbackUnavailable:
    return FeedbackUnavailable("the store of answers is down or slow; try again")
