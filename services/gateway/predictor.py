"""The way of one image through the gateway, whatever the task.

key ──► cache ──hit──────────────────────────────► answer
           └─miss─► single flight ─► coalesced call ─► answer, and into the cache
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import orjson
from blake3 import blake3

from services.errors import OutOfTime, rebuild
from services.gateway.cache import ResultCache
from services.gateway.drift_watch import DriftWatch
from services.gateway.registry import ServedModel
from services.gateway.single_flight import SingleFlight
from services.telemetry import CACHE_REQUESTS
from services.wire import Item, Outcome

LARGE_BYTES: Final = 2**20
"""An image of more is hashed in a thread."""

KEY_PREFIX: Final = "tapetum:"
"""Of what answers are cached under; a digest follows, in hex."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What `Cache-Control` of a request allows."""

    read: bool = True
    write: bool = True

    @classmethod
    def of(cls, header: str) -> CachePolicy:
        """`no-cache` works the answer out anew and keeps it; `no-store` keeps nothing."""
        if not header:
            return _ALLOW_ALL
        directives = {directive.strip().lower() for directive in header.split(",")}
        store = "no-store" not in directives
        return cls(read=store and "no-cache" not in directives, write=store)


_ALLOW_ALL = CachePolicy()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one image.

    Attributes:
        body: JSON object as `services.wire.Outcome` has it.
        cached: Whether it came from the cache.
        key: What it is cached under: names image, model, weights and parameters.
        stages_ms: Milliseconds by stage.
    """

    body: bytes
    cached: bool
    key: str
    stages_ms: dict[str, float]


class Predictor:
    """Answers images from the cache, from work in progress, or from a model.

    Args:
        cache: None where caching is off.
        drift: Sees what models answer.
    """

    def __init__(self, cache: ResultCache | None, drift: DriftWatch) -> None:
        self._cache = cache
        self._drift = drift
        self._flights: SingleFlight[Outcome] = SingleFlight()

    async def answer(
        self, model: ServedModel, image: bytes, parameters: dict[str, Any], policy: CachePolicy, deadline_s: float
    ) -> Answer:
        """Answer one image.

        Args:
            model: Who answers.
            image: The encoded file; its header is known to be right.
            parameters: Complete and validated.
            policy: What of the cache may be used.
            deadline_s: Unix time until which the client waits.

        Raises:
            ServiceError: as the status says.
        """
        key = await _cache_key(model, image, parameters)
        started_at = time.perf_counter()
        found = await self._look_up(model.task, key, policy)
        stages_ms = {"cache": (time.perf_counter() - started_at) * 1e3}
        if found is not None:
            return Answer(found, True, key, stages_ms)
        outcome = await self._work_out(model, key, Item(model.name, image, parameters, deadline_s), policy)
        if outcome.failure is not None:
            raise rebuild(*outcome.failure)
        assert outcome.body is not None
        return Answer(outcome.body, False, key, {**stages_ms, **outcome.stages_ms})

    async def _look_up(self, task: str, key: str, policy: CachePolicy) -> bytes | None:
        if self._cache is None or not policy.read:
            CACHE_REQUESTS.labels(task, "bypass").inc()
            return None
        lookup = await self._cache.get(key)
        if lookup.failed:
            CACHE_REQUESTS.labels(task, "error").inc()
        elif lookup.body is not None:
            CACHE_REQUESTS.labels(task, "hit").inc()
        elif self._flights.is_flying(key):
            CACHE_REQUESTS.labels(task, "coalesced").inc()
        else:
            CACHE_REQUESTS.labels(task, "miss").inc()
        return lookup.body

    async def _work_out(self, model: ServedModel, key: str, item: Item, policy: CachePolicy) -> Outcome:
        if not policy.read:
            return await self._call(model, key, item, policy)
        while True:
            joined = self._flights.is_flying(key)
            try:
                return await self._flights.run(key, lambda: self._call(model, key, item, policy))
            except OutOfTime:
                # The one whose work this joined had less time than this request has: work it out again.
                if not joined or time.time() > item.deadline_s:
                    raise

    async def _call(self, model: ServedModel, key: str, item: Item, policy: CachePolicy) -> Outcome:
        outcome = await model.calls.submit(item)
        if outcome.failure is not None and outcome.failure.code == OutOfTime.code:
            raise OutOfTime(outcome.failure.message)
        if outcome.body is not None and policy.write:
            self._drift.see(model, item.parameters, outcome.summary)
            if self._cache is not None:
                self._cache.put(key, outcome.body)
        return outcome


async def _cache_key(model: ServedModel, image: bytes, parameters: dict[str, Any]) -> str:
    digest = await asyncio.to_thread(_digest, image) if len(image) > LARGE_BYTES else _digest(image)
    canonical = orjson.dumps(parameters, option=orjson.OPT_SORT_KEYS)
    return KEY_PREFIX + blake3(b"\0".join((digest, model.identity, canonical))).hexdigest()


def _digest(image: bytes) -> bytes:
    return blake3(image).digest()
