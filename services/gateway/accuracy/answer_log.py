"""Records the answer of each request, for as long as feedback on it is accepted.

A record has the model and the key of the answer in the result cache: no image, and no second copy of the answer.
Requests with `Cache-Control: no-store` are not recorded, nor those with proposals: their answers depend on boxes that a
client chose, so that they say little of the accuracy of the model. Request ids are chosen by clients, so a receipt is
stored under the API key of its request: no client can read, replace or give feedback on the answers of another.
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
"""Pause before a missing receipt is looked up again: other gateways write theirs shortly after the response."""


class Receipt(NamedTuple):
    """The record of the answer to one image.

    Attributes:
        model: Name of the model.
        version: Its version.
        weights_digest: Of its weights.
        class_ids: The requested classes; None for all.
        cache_digest: Cache key of the answer, without the prefix.
    """

    model: str
    version: str
    weights_digest: str
    class_ids: tuple[int, ...] | None
    cache_digest: str

    @classmethod
    def of(cls, answer: Answer) -> Receipt:
        """Makes the receipt of an answer."""
        class_ids = answer.request.parameters.get("class_ids")
        return cls(*answer.model.key, class_ids, answer.key.removeprefix(KEY_PREFIX))


_LINE: Final = TypeAdapter(tuple[Receipt | None, ...])
"""One for each image of a request; None for a failed image."""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """The answer to one image of a request.

    Attributes:
        model: The model version of the answer.
        class_ids: The requested classes; None for all.
        claim: Unique name of the answer.
        body: The JSON object of the response.
    """

    model: ServedModel
    class_ids: Sequence[int] | None
    claim: str
    body: bytes


class AnswerLog:
    """Records and finds the answers of requests.

    Args:
        store: Stores a line for each request.
        cache: Stores the answers; None where caching is off, and with it feedback.
        registry: Finds the versions of the models.
        settings: Retention time.
    """

    def __init__(self, store: FeedbackStore, cache: ResultCache | None, registry: Registry, settings: Settings) -> None:
        self._store = store
        self._cache = cache
        self._registry = registry
        self._ttl_s = settings.feedback_ttl_s
        self._is_on = cache is not None and settings.feedback_ttl_s > 0

    def remember(
        self,
        tenant: str,
        request_id: str,
        answers: Sequence[Answer | ServiceError],
        policy: CachePolicy,
        part: str = "",
    ) -> None:
        """Record the answers of a request. It takes microseconds, does not block, and never raises.

        Args:
            tenant: Id of the client; see `services.gateway.limits.ApiKeys.check`.
            request_id: The request; of two with the same id the later one is kept.
            answers: One for each image.
            policy: Whether the answer may be stored.
            part: Task of these answers in an analysis; empty for other requests.
        """
        if not (self._is_on and policy.write) or _have_proposals(answers):
            return
        line = orjson.dumps([[*Receipt.of(answer)] if isinstance(answer, Answer) else None for answer in answers])
        cached = [answer.key for answer in answers if isinstance(answer, Answer) and answer.cached]
        self._store.remember(_name(tenant, request_id, part), line, self._ttl_s, cached)

    async def find(self, tenant: str, request_id: str, index: int, part: str = "") -> GivenAnswer:
        """The answer to one image of a request, or of one task of an analysis.

        Raises:
            FeedbackOff: answers are not recorded.
            UnknownAnswer: the request is not recorded (any more), or the image failed, or the weights are no longer
                served.
            InvalidParameters: the request had fewer images.
            FeedbackUnavailable: the store is down or slow.
        """
        if not self._is_on:
            raise FeedbackOff("no answers are kept here to compare the truth with: caching or feedback is turned off")
        for pause_s in (SECOND_LOOK_S, 0.0):
            if found := await self._look(_name(tenant, request_id, part), request_id, index):
                return found
            await asyncio.sleep(pause_s)
        raise UnknownAnswer(
            f"no answer is kept for image {index} of request {request_id}: none was given, or it is too long ago, or "
            "it was not to be stored, or is too large for that, or its request gave proposals, or it was asked for "
            "with another API key, or it is an analysis and the feedback names none of its tasks",
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
        """The receipts of a request; None where there are none, or the stored value is malformed."""
        try:
            line = await self._store.recall(name)
        except StoreFailed:
            raise _unavailable() from None
        try:
            return None if line is None else _LINE.validate_json(line)
        except ValidationError:
            return None


def _name(tenant: str, request_id: str, part: str) -> str:
    """The store key of the receipts of a request, or of a part of it."""
    whole = f"{tenant}\0{request_id}"
    return blake3((f"{whole}\0{part}" if part else whole).encode()).hexdigest(length=16)


def _have_proposals(answers: Sequence[Answer | ServiceError]) -> bool:
    return any(isinstance(answer, Answer) and answer.request.has_proposals for answer in answers)


def _unavailable() -> FeedbackUnavailable:
    return FeedbackUnavailable("the store of answers is down or slow; try again")
