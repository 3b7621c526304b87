"""The result cache: predictions by a digest of image, model and parameters, on a Redis-compatible server.

A cache may be slow, down, full or corrupt, and requests still succeed: every operation has a timeout, a circuit breaker
skips the cache after a failure, values have a checksum (keyed, where there is a secret), and writes run in the
background, where they wait for the next look-up to be sent with. Look-ups are pipelined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from services.breaker import PAUSE_S, Breaker
from services.gateway.serving.pipelined_redis import PipelinedRedis
from services.gateway.serving.seals import Seal
from services.telemetry import CACHE_WRITES, labelled

MAX_WAITING: Final = 256
"""The most commands without a reply with which a body is still sent, as each may be large."""


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
        redis: The connection.
        ttl_s: Time to live of a body.
        max_entry_bytes: A larger body is not stored.
        secret: Key of the checksums.
    """

    def __init__(self, redis: PipelinedRedis, *, ttl_s: int, max_entry_bytes: int, secret: str | None = None) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._max_entry_bytes = max_entry_bytes
        self._seal = Seal(secret)
        self._breaker = Breaker("result cache", max_pause_s=PAUSE_S)

    async def get(self, key: str) -> Lookup:
        """Look a key up; a value with a wrong checksum counts as a failure."""
        if not self._breaker.allows():
            return FAILED
        try:
            value = await self._redis.ask("GET", key)
        except RedisError as error:
            self._breaker.fail(error)
            return FAILED
        self._breaker.succeed()
        if value is None:
            return MISS
        body = self._seal.open(key, value)
        return FAILED if body is None else Lookup(body)

    def put(self, key: str, body: bytes) -> None:
        """Store a body in the background."""
        if len(body) > self._max_entry_bytes:
            labelled(CACHE_WRITES, "too_large").inc()
        elif len(self._redis) >= MAX_WAITING or not self._breaker.allows():
            labelled(CACHE_WRITES, "error").inc()
        else:
            self._redis.tell(("SET", key, self._seal.close(key, body), "EX", self._ttl_s), self._settle_write)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.close()

    def _settle_write(self, reply: object) -> None:
        if isinstance(reply, RedisError):
            labelled(CACHE_WRITES, "error").inc()
            if not isinstance(reply, ResponseError):  # such as that of a full server, whose look-ups work
                self._breaker.fail(reply)
        else:
            labelled(CACHE_WRITES, "stored").inc()


def connect(url: str, timeout_s: float) -> Redis:
    """Creates a lazy connection to Redis, without retries.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        timeout_s: Timeout of one operation.
    """
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )
