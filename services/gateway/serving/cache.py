"""The result cache: predictions by a digest of image, model and parameters, on a Redis-compatible server.

A cache may be slow, down, full or corrupt, and requests still succeed: every operation has a timeout, a circuit breaker
skips the cache after a failure, values have a checksum (keyed, where there is a secret), and writes run in the
background. Concurrent look-ups share one `MGET`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.breaker import PAUSE_S, Breaker
from services.errors import Overloaded
from services.gateway.serving.coalescer import Coalescer
from services.gateway.serving.seals import Seal
from services.telemetry import CACHE_WRITES


@dataclass(frozen=True, slots=True)
class Lookup:
    """The outcome of a look-up: hit, miss, or failure."""

    body: bytes | None
    failed: bool = False


MISS = Lookup(None)
FAILED = Lookup(None, failed=True)


class ResultCache(Protocol):
    """The interface of a result cache."""

    async def get(self, key: str) -> Lookup:
        """Look a key up. Never raises."""
        ...

    def put(self, key: str, body: bytes) -> None:
        """Store a body in the background. Never raises."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class RedisCache:
    """A cache on a Redis-compatible server.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        ttl_s: Time to live of a body.
        timeout_s: Timeout of one operation.
        max_entry_bytes: A larger body is not stored.
        secret: Key of the checksums.
    """

    def __init__(
        self, url: str, *, ttl_s: int, timeout_s: float, max_entry_bytes: int, secret: str | None = None
    ) -> None:
        self._redis = connect(url, timeout_s)
        self._ttl_s = ttl_s
        self._max_entry_bytes = max_entry_bytes
        self._seal = Seal(secret)
        self._breaker = Breaker("result cache", max_pause_s=PAUSE_S)
        self._lookups: Coalescer[str, Lookup] = Coalescer(self._mget, max_items=64, receivers=1, coalesce_wait_s=0.0)
        self._writes: Coalescer[tuple[str, bytes], None] = Coalescer(
            self._set_all, max_items=64, receivers=1, coalesce_wait_s=0.0, max_waiting=256
        )
        self._write_tasks: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> Lookup:
        """Look a key up; a value with a wrong checksum counts as a failure."""
        if not self._breaker.allows():
            return FAILED
        try:
            return await self._lookups.submit(key)
        except Overloaded:
            return FAILED

    def put(self, key: str, body: bytes) -> None:
        """Store a body in the background."""
        if len(body) > self._max_entry_bytes:
            CACHE_WRITES.labels("too_large").inc()
        elif not self._breaker.allows():
            CACHE_WRITES.labels("error").inc()
        else:
            task = asyncio.get_running_loop().create_task(self._put(key, body))
            self._write_tasks.add(task)
            task.add_done_callback(self._write_tasks.discard)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _mget(self, keys: list[str]) -> Sequence[Lookup]:
        try:
            values = await self._redis.mget(keys)
        except RedisError as error:
            self._breaker.fail(error)
            return [FAILED] * len(keys)
        self._breaker.succeed()
        return [self._open(key, value) for key, value in zip(keys, values, strict=True)]

    def _open(self, key: str, value: bytes | str | None) -> Lookup:
        if value is None:
            return MISS
        body = self._seal.open(key, value) if isinstance(value, bytes) else None
        return FAILED if body is None else Lookup(body)

    async def _put(self, key: str, body: bytes) -> None:
        try:
            await self._writes.submit((key, body))
        except (RedisError, Overloaded):
            CACHE_WRITES.labels("error").inc()
        else:
            CACHE_WRITES.labels("stored").inc()

    async def _set_all(self, entries: list[tuple[str, bytes]]) -> Sequence[Exception | None]:
        pipeline = self._redis.pipeline(transaction=False)
        for key, body in entries:
            pipeline.set(key, self._seal.close(key, body), ex=self._ttl_s)
        try:
            results = await pipeline.execute(raise_on_error=False)
        except (RedisConnectionError, RedisTimeoutError) as error:
            self._breaker.fail(error)
            raise
        self._breaker.succeed()
        return [result if isinstance(result, Exception) else None for result in results]


def connect(url: str, timeout_s: float) -> Redis:
    """Creates a lazy connection to Redis, without retries.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        timeout_s: Timeout of one operation.
    """
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )
