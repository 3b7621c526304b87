"""Which answer a request was given, for as long as feedback on it is taken.

Kept are the model and the key of the answer in the result cache: no image, and no second copy of the answer. Of a
request with `Cache-Control: no-store` nothing is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from services.accuracy_store import ModelKey
from services.errors import FeedbackOff, FeedbackUnavailable, InvalidParameters, ServiceError, UnknownAnswer
from services.gateway.cache import ResultCache
from services.gateway.live_store import LiveStore, StoreFailed
from services.gateway.predictor import KEY_PREFIX, Answer, CachePolicy
from services.gateway.registry import ServedModel
from services.settings import Settings

SECOND_LOOK_S: Final = 0.2
"""What an other gateway has just answered is written a moment later: what is not found is looked for once more."""

_DIGEST_BYTES: Final = 32
_NO_ANSWER: Final = bytes(_DIGEST_BYTES)
"""In the place of an image that has none."""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """The answer to one image of a request.

    Attributes:
        key: Which model answered.
        class_ids: The classes that were asked for; None where all were.
        cache_key: Names image, model, weights and parameters.
        body: The JSON object that was answered.
    """

    key: ModelKey
    class_ids: Sequence[int] | None
    cache_key: str
    body: bytes


class Receipts:
    """Remembers who was given which answer.

    Args:
        store: Keeps a line for each request.
        cache: Keeps the answers; None where caching is off, and so is feedback.
        settings: Say for how long.
    """

    def __init__(self, store: LiveStore, cache: ResultCache | None, settings: Settings) -> None:
        self._store = store
        self._cache = cache
        self._ttl_s = settings.feedback_ttl_s
        self._is_on = cache is not None and settings.feedback_ttl_s > 0

    def remember(
        self,
        request_id: str,
        model: ServedModel,
        parameters: Mapping[str, Any],
        answers: Sequence[Answer | ServiceError],
        policy: CachePolicy,
    ) -> None:
        """Keep which answers a request was given. It takes microseconds, waits for nothing, and never raises.

        Args:
            request_id: The request.
            model: Who answered.
            parameters: What the model was told.
            answers: One for each image.
            policy: What may be kept.
        """
        if not (self._is_on and policy.write):
            return
        class_ids = parameters.get("class_ids")
        head = model.receipt if class_ids is None else orjson.dumps([*model.key, class_ids])
        keys = [answer.key if isinstance(answer, Answer) else "" for answer in answers]
        digests = [bytes.fromhex(key[len(KEY_PREFIX) :]) if key else _NO_ANSWER for key in keys]
        cached = [answer.key for answer in answers if isinstance(answer, Answer) and answer.cached]
        self._store.remember(request_id, b"\n".join((head, b"".join(digests))), self._ttl_s, cached)

    async def find(self, request_id: str, index: int) -> GivenAnswer:
        """The answer to one image of a request.

        Raises:
            FeedbackOff: nothing is kept at all.
            UnknownAnswer: nothing is kept of this request (any more), or the image had an error.
            InvalidParameters: the request had fewer images.
            FeedbackUnavailable: what keeps it is down or slow.
        """
        if not self._is_on:
            raise FeedbackOff("no answers are kept here to compare the truth with: caching or feedback is turned off")
        for pause_s in (SECOND_LOOK_S, 0.0):
            if found := await self._look(request_id, index):
                return found
            await asyncio.sleep(pause_s)
        raise UnknownAnswer(
            f"no answer is kept for image {index} of request {request_id}: none was given, or it is too long ago, or "
            "it was not to be stored, or is too large for that",
            {"request_id": request_id, "index": index},
        )

    async def _look(self, request_id: str, index: int) -> GivenAnswer | None:
        assert self._cache is not None
        try:
            line = await self._store.recall(request_id)
        except StoreFailed:
            raise _unavailable() from None
        if line is None:
            return None
        head, _, digests = line.partition(b"\n")
        images = len(digests) // _DIGEST_BYTES
        if index >= images:
            message = f"index: the request had {images} image{'s' if images > 1 else ''}"
            raise InvalidParameters(message, {"parameter": "index", "images": images})
        digest = digests[index * _DIGEST_BYTES : (index + 1) * _DIGEST_BYTES]
        if digest == _NO_ANSWER:
            raise UnknownAnswer(f"image {index} of request {request_id} has no answer", {"index": index})
        cache_key = KEY_PREFIX + digest.hex()
        lookup = await self._cache.get(cache_key)
        if lookup.failed:
            raise _unavailable()
        name, version, weights_digest, *class_ids = cast(list[Any], orjson.loads(head))
        key = ModelKey(name, version, weights_digest)
        if lookup.body is None:
            return None
        return GivenAnswer(key, class_ids[0] if class_ids else None, cache_key, lookup.body)


def _unavailable() -> FeedbackUnavailable:
    return FeedbackUnavailable("the store of answers is down or slow; try again")
