"""Who may ask, how much at a time, and for how long."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import structlog
from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool
from starlette.requests import Request

from services.errors import (
    Forbidden,
    InvalidParameters,
    NotReady,
    OutOfTime,
    Overloaded,
    RateLimited,
    Unauthorized,
)
from services.settings import Settings
from services.telemetry import REQUESTS_IN_FLIGHT

log = structlog.get_logger()

DRAINING_FILE = "draining"
"""While this file is in the stack's run folder, its gateways take no new requests."""


class ApiKeys:
    """The keys that are let in. Only digests are kept, and all are compared, so that timing tells nothing.

    Args:
        keys: None means: everybody is let in.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._digests = tuple(hashlib.sha256(key.encode()).digest() for key in keys)

    def check(self, headers: Mapping[str, str]) -> str:
        """Who asks: a name to count by, which is not the key.

        Args:
            headers: `Authorization: Bearer KEY` or `X-API-Key: KEY` is looked for.

        Raises:
            Unauthorized: a key is needed, and none was sent.
            Forbidden: the key is not one of ours.
        """
        if not self._digests:
            return ""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        key = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if not key:
            raise Unauthorized("an API key is needed: send `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        digest = hashlib.sha256(key.encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise Forbidden("this API key is not known")
        return digest.hex()[:16]


class RateLimiter:
    """At most so many requests per key or client address, counted on Redis where there is one.

    Args:
        rate: Like `600/minute`.
        redis_url: Where gateways count together; None, or a Redis that fails: each counts alone.
        timeout_s: Longest time that one operation on Redis may take.
    """

    def __init__(self, rate: str, redis_url: str | None, timeout_s: float) -> None:
        self._rate = parse(rate)
        self._alone = self._shared = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._pool: ConnectionPool | None = None
        if redis_url:
            self._pool = ConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
                redis_url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
            )
            storage = RedisStorage("async+redis://", implementation="redispy", connection_pool=self._pool)  # pyright: ignore[reportArgumentType]
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def check(self, client: str) -> None:
        """Count a request.

        Raises:
            RateLimited: it is one too many; `Retry-After` says when the next will do.
        """
        try:
            limiter = self._shared
            allowed = await limiter.hit(self._rate, client)
        except Exception as error:  # the limiter's storage is no reason to turn anybody away
            log.warning("rate limits are counted alone", reason=type(error).__name__)
            limiter = self._alone
            allowed = await limiter.hit(self._rate, client)
        if not allowed:
            window = await limiter.get_window_stats(self._rate, client)
            wait_s = max(1, math.ceil(window.reset_time - time.time()))
            raise RateLimited(f"more than {self._rate}", {"limit": str(self._rate)}, wait_s)

    async def close(self) -> None:
        """Let go of connections."""
        if self._pool is not None:
            await self._pool.aclose()


class Admission:
    """Bounds what one gateway has in hand: requests at work, requests waiting, and the bytes of their bodies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.max_concurrent_requests)
        self._admitted = 0
        self._bytes = 0
        self._draining = settings.run_dir / DRAINING_FILE if settings.run_dir else None

    @property
    def is_draining(self) -> bool:
        """Whether the stack is about to stop."""
        return self._draining is not None and self._draining.exists()

    @asynccontextmanager
    async def enter(self, request: Request) -> AsyncGenerator[None]:
        """Hold a place while a request is worked on.

        Raises:
            NotReady: the stack is stopping.
            Overloaded: there is no place.
        """
        if self.is_draining:
            raise NotReady("the server is stopping")
        size = self._expected_bytes(request)
        limit = self._settings.max_concurrent_requests + self._settings.max_queued_requests
        if self._admitted >= limit or (self._bytes and self._bytes + size > self._settings.max_buffered_bytes):
            raise Overloaded("too many requests at a time", {"requests": self._admitted})
        self._admitted += 1
        self._bytes += size
        REQUESTS_IN_FLIGHT.inc()
        try:
            async with self._slots:
                yield
        finally:
            self._admitted -= 1
            self._bytes -= size
            REQUESTS_IN_FLIGHT.dec()

    def _expected_bytes(self, request: Request) -> int:
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdigit() else self._settings.max_image_bytes
        return min(size, self._settings.max_body_bytes)


def check_time(deadline_s: float) -> None:
    """End work that nobody waits for any more; for threads, which cannot be ended from outside.

    Args:
        deadline_s: On `time.monotonic`.

    Raises:
        OutOfTime: it has passed.
    """
    if time.monotonic() > deadline_s:
        raise OutOfTime("the request took longer than its time limit")


def read_timeout(headers: Mapping[str, str], settings: Settings) -> float:
    """Seconds that a request may take: `X-Request-Timeout`, up to the cap, or the default.

    Raises:
        InvalidParameters: the header is not a positive number of seconds.
    """
    header = headers.get("x-request-timeout")
    if header is None:
        return settings.request_timeout_s
    try:
        timeout_s = float(header)
    except ValueError:
        timeout_s = math.nan
    if not timeout_s > 0:
        raise InvalidParameters(
            "X-Request-Timeout must be a positive number of seconds", {"header": "X-Request-Timeout"}
        )
    return min(timeout_s, settings.max_request_timeout_s)
