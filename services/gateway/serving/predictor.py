"""Predicts one image: result cache, single flight, batched call to a replica.

key ──► cache ──hit──────────────────────────────► answer
           └─miss─► single flight ─► coalesced call ─► answer, and into the cache

The cache is looked up for the current version of the model. The answer of a replica is labelled, cached and counted by
the version that the replica reports: during a rolling update that may be another one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson
from blake3 import blake3

from models.imaging.shared_decoding import SharedDecoding
from services.answers.wire import Item, Outcome
from services.errors import NotReady, OutOfTime, Overloaded, rebuild
from services.gateway.accuracy.drift_watch import DriftWatch
from services.gateway.serving.answer_shapes import is_answer
from services.gateway.serving.cache import FAILED, Lookup, ResultCache
from services.gateway.serving.model_calls import RequestCalls
from services.gateway.serving.registry import Registry
from services.gateway.serving.served_model import ServedModel
from services.gateway.serving.single_flight import SingleFlight
from services.telemetry import CACHE_REQUESTS, STAGE_SECONDS, labelled

INLINE_HASH_BYTES: Final = 2**20
"""Bytes above which an image is hashed in a thread."""

KEY_PREFIX: Final = "tapetum:"
"""Prefix of cache keys; a digest in hex follows."""

REMEMBERED: Final = 64
"""Complete parameters that are remembered. `complete` is a method of a request's parameters, and equal to that of
another request where both have the same object: the one that `services.gateway.inputs` remembers for their query."""

Complete = Callable[[Mapping[str, Any]], dict[str, Any]]
"""From the catalog entry of a version to the complete parameters of a request."""

MOST_VERSIONS: Final = 3
"""The most versions of a model that are called for one image, where their classes or defaults differ."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """The cache directives of a request's `Cache-Control` header."""

    read: bool = True
    write: bool = True

    @classmethod
    def of(cls, header: str) -> CachePolicy:
        """`no-cache` runs the model and stores the answer; `no-store` neither reads nor writes the cache."""
        if not header:
            return _ALLOW_ALL
        directives = {directive.strip().lower() for directive in header.split(",")}
        store = "no-store" not in directives
        return cls(read=store and "no-cache" not in directives, write=store)


_ALLOW_ALL = CachePolicy()


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """The model and the parameters of a request, completed for one version of the model.

    Attributes:
        model: The version.
        parameters: Complete and validated.
        canonical: The same as bytes: equal for equal parameters.
        complete: From the catalog entry of a version to the complete parameters of the request.
        scope: Client whose cached answers are used; empty: those of all clients.
        calls: Sends the images of the request to the model.
        is_pinned: Whether the request names the version, and no other may answer.
        decoding: The decode of the image that several models of this process share; None where the model decodes by
            itself.
        decoded: Scale of that decode where it is finer than the model's own, as part of the cache key; else empty.
    """

    model: ServedModel
    parameters: dict[str, Any]
    canonical: bytes
    complete: Complete
    scope: bytes
    calls: RequestCalls
    is_pinned: bool = False
    decoding: SharedDecoding | None = None
    decoded: bytes = b""

    @classmethod
    def of(
        cls,
        model: ServedModel,
        complete: Complete,
        scope: str = "",
        *,
        is_pinned: bool = False,
    ) -> PredictionRequest:
        """Complete the parameters of a request for one version of a model.

        Raises:
            InvalidParameters: this version does not accept the parameters.
        """
        parameters, canonical = _completed(complete, model)
        calls = model.calls.of_request(_passes(model, parameters))
        return cls(model, parameters, canonical, complete, scope.encode(), calls, is_pinned)

    @property
    def has_proposals(self) -> bool:
        """Whether it gives the regions that are classified, so that its answer says nothing of what the model finds."""
        return self.parameters.get("proposals") is not None

    def to(self, model: ServedModel) -> PredictionRequest:
        """The same request for another version of the model.

        Raises:
            InvalidParameters: this version does not accept the parameters.
        """
        other = PredictionRequest.of(model, self.complete, is_pinned=self.is_pinned)
        return replace(other, scope=self.scope, calls=self.calls, decoding=self.decoding, decoded=self.decoded)

    def key(self, image_digest: bytes) -> str:
        """The cache key of the answer to one image."""
        parts = (image_digest, self.model.identity, self.scope, self.canonical + self.decoded)
        return KEY_PREFIX + blake3(b"\0".join(parts)).hexdigest()

    def flight(self, key: str) -> str:
        """The single-flight key for a cache key: any version may answer a request that names none."""
        return f"{key}@{self.model.version}" if self.is_pinned else key


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one image.

    Attributes:
        body: JSON object as `services.answers.wire.Outcome` has it.
        cached: Whether it came from the cache.
        key: Cache key: a digest of image, model, weights and parameters.
        stages_ms: Milliseconds by stage.
        request: Model and parameters; `model` is the version that predicted.
    """

    body: bytes
    cached: bool
    key: str
    stages_ms: dict[str, float]
    request: PredictionRequest

    @property
    def model(self) -> ServedModel:
        """The model version of the prediction."""
        return self.request.model


class _Answered(NamedTuple):
    """An outcome, and the request completed for the version that computed it."""

    outcome: Outcome
    request: PredictionRequest


class Predictor:
    """Predicts images: from the result cache, a call in flight for the same image, or the model.

    Args:
        cache: Result cache; None where caching is off.
        drift: Records answers to detect drift.
        registry: Knows the versions of the models.
    """

    def __init__(self, cache: ResultCache | None, drift: DriftWatch, registry: Registry) -> None:
        self._cache = cache
        self._drift = drift
        self._registry = registry
        self._flights: SingleFlight[_Answered] = SingleFlight()

    async def answer(self, request: PredictionRequest, image: bytes, policy: CachePolicy, deadline_s: float) -> Answer:
        """Predict one image.

        Args:
            request: Model and parameters.
            image: The encoded file; its header has been checked.
            policy: Whether the cache is read and written.
            deadline_s: Deadline of the request, Unix time.

        Raises:
            ServiceError: the prediction failed.
        """
        digest = await asyncio.to_thread(_digest, image) if len(image) > INLINE_HASH_BYTES else _digest(image)
        stages_ms: dict[str, float] = {}
        for _ in range(MOST_VERSIONS):
            key = request.key(digest)
            started_at = time.perf_counter()
            found = await self._read_cache(request, key, policy)
            took_s = time.perf_counter() - started_at
            stages_ms["cache"] = took_s * 1e3
            if found is not None:
                labelled(STAGE_SECONDS, *request.model.labels, "cache").observe(took_s)
                return Answer(found, True, key, stages_ms, request)
            outcome, answered = await self._compute(request, digest, image, policy, deadline_s)
            if outcome.failure is not None:
                raise rebuild(*outcome.failure)
            assert outcome.body is not None
            if answered.parameters == request.parameters:
                return Answer(outcome.body, False, answered.key(digest), {**stages_ms, **outcome.stages_ms}, answered)
            request = answered  # its classes or defaults differ, and so do the complete parameters
        raise NotReady(f"{request.model.name} is being replaced by another version")

    async def _read_cache(self, request: PredictionRequest, key: str, policy: CachePolicy) -> bytes | None:
        labels = request.model.task, request.model.name
        if self._cache is None or not policy.read:
            labelled(CACHE_REQUESTS, *labels, "bypass").inc()
            return None
        lookup = await self._cache.get(key)
        if lookup.body is not None and not await is_answer(request.model, lookup.body):
            lookup = FAILED
        labelled(CACHE_REQUESTS, *labels, self._outcome_of(lookup, request.flight(key))).inc()
        return lookup.body

    def _outcome_of(self, lookup: Lookup, flight: str) -> str:
        if lookup.failed:
            return "error"
        if lookup.body is not None:
            return "hit"
        return "coalesced" if self._flights.is_flying(flight) else "miss"

    async def _compute(
        self, request: PredictionRequest, digest: bytes, image: bytes, policy: CachePolicy, deadline_s: float
    ) -> _Answered:
        def call() -> Awaitable[_Answered]:
            return self._call(request, digest, image, policy, deadline_s)

        if not policy.read:
            return await call()
        key, was_refused = request.flight(request.key(digest)), False
        while True:
            joined = self._flights.is_flying(key)
            try:
                return await self._flights.run(key, call)
            except (OutOfTime, Overloaded) as error:
                # The request whose call this one joined may have had less time left: call the model again. Once only
                # where it was refused, so that requests for the same image do not refuse each other one by one.
                if not joined or was_refused or time.time() > deadline_s:
                    raise
                was_refused = isinstance(error, Overloaded)

    async def _call(
        self, request: PredictionRequest, digest: bytes, image: bytes, policy: CachePolicy, deadline_s: float
    ) -> _Answered:
        model = request.model
        names = model.identity, model.version, request.is_pinned
        item = Item(model.name, image, request.parameters, deadline_s, *names, decoding=request.decoding)
        outcome = await request.calls.submit(item)
        if outcome.failure is not None and outcome.failure.code == OutOfTime.code:
            raise OutOfTime(outcome.failure.message)
        if outcome.body is None:
            return _Answered(outcome, request)
        answering = self._registry.answered_by(model, outcome)
        answered = request if answering.identity == model.identity else request.to(answering)
        if policy.write and answered.parameters == request.parameters:
            self._drift.see(answering, request.parameters, outcome.summary)
            if self._cache is not None:
                self._cache.put(answered.key(digest), outcome.body)
        return _Answered(outcome, answered)


@lru_cache(REMEMBERED)
def _completed(complete: Complete, model: ServedModel) -> tuple[dict[str, Any], bytes]:
    """The complete parameters of a request, which nobody changes, and the same as bytes."""
    parameters = complete(model.entry)
    return parameters, orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS)


def _passes(model: ServedModel, parameters: Mapping[str, Any]) -> int:
    """Images that one image of a request takes through the network."""
    if parameters.get("family") == "rcnn":
        return len(parameters["proposals"])
    return model.augmented_views if parameters.get("augment") else 1


def _digest(image: bytes) -> bytes:
    return blake3(image).digest()
