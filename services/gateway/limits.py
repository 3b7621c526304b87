"""API keys, rate limits, and time limits of requests."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Mapping
from typing import Final

import structlog
from limits import parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import ConnectionPool

from services.breaker import Breaker
from services.errors import (
    Forbidden,
    InvalidParameters,
    RateLimited,
    Unauthorized,
)
from services.settings import Settings

log = structlog.get_logger()


MAX_GUESSERS: Final = 10_000
"""The most client addresses with wrong keys that a gateway remembers, the latest."""

GUESS_LOG_PAUSE_S: Final = 10.0
"""Least seconds between two log lines about wrong keys."""


class ApiKeys:
    """The accepted API keys. Only digests are kept, and a key is compared with all of them in constant time.

    Args:
        keys: The keys; empty where no key is required.
        admin_keys: Keys of administrators, which are API keys, too.
    """

    def __init__(self, keys: tuple[str, ...], admin_keys: tuple[str, ...] = ()) -> None:
        self._is_open = not keys
        self._admin_digests = tuple(map(_digest, admin_keys))
        self._digests = (*map(_digest, keys), *self._admin_digests)

    def check(self, headers: Mapping[str, str]) -> str:
        """Check the API key of a request, and return an id of the client, which does not reveal the key.

        Args:
            headers: `Authorization: Bearer KEY` or `X-API-Key: KEY` is read.

        Raises:
            Unauthorized: a key is required, and none was sent.
            Forbidden: the key is unknown.
        """
        key = _key_in(headers)
        if not self._digests or (self._is_open and not key):
            return ""
        if not key:
            raise Unauthorized("an API key is needed: send `Authorization: Bearer KEY` or `X-API-Key: KEY`")
        digest = _digest(key)
        if not _is_any_of(digest, self._digests):
            raise Forbidden("this API key is not known")
        return digest.hex()[:16]

    def is_admin(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the key of an administrator."""
        return bool(self._admin_digests) and _is_any_of(_digest(_key_in(headers)), self._admin_digests)


def _key_in(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _is_any_of(digest: bytes, known: tuple[bytes, ...]) -> bool:
    matches = [hmac.compare_digest(digest, each) for each in known]  # all of them, in constant time
    return any(matches)


class RateLimiter:
    """Limits the request rate per key or client address, counted on Redis where there is one.

    Args:
        rate: Like `600/minute`.
        redis_url: Redis, on which gateways share their counts; None, or a Redis that fails: each counts its own.
        timeout_s: Longest time that one operation on Redis may take.
    """

    def __init__(self, rate: str, redis_url: str | None, timeout_s: float) -> None:
        self._rate = parse(rate)
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._breaker = Breaker("rate limits in Redis")
        self._guessers: dict[str, None] = {}
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
            RateLimited: it exceeds the limit; `Retry-After` says when the next request is allowed.
        """
        limiter, allowed = self._alone, None
        if self._shared is not None and self._breaker.allows():
            try:
                allowed = await self._shared.hit(self._rate, client)
            except Exception as error:  # a failed storage refuses no request
                self._breaker.fail(error)
            else:
                limiter = self._shared
                self._breaker.succeed()
        if allowed is None:
            allowed = await limiter.hit(self._rate, client)
        if not allowed:
            raise await self._refusal(limiter, client)

    async def check_guesses(self, address: str) -> None:
        """Refuse an address that has sent too many wrong keys; each gateway counts its own.

        Raises:
            RateLimited: the address has; its keys are not checked before `Retry-After`.
        """
        if address in self._guessers and not await self._alone.test(self._rate, _guesses_of(address)):
            raise await self._refusal(self._alone, _guesses_of(address))

    async def count_guess(self, address: str) -> None:
        """Count a wrong key."""
        self._guessers[address] = None
        while len(self._guessers) > MAX_GUESSERS:
            del self._guessers[next(iter(self._guessers))]
        await self._alone.hit(self._rate, _guesses_of(address))

    async def _refusal(self, limiter: SlidingWindowCounterRateLimiter, client: str) -> RateLimited:
        try:
            window = await limiter.get_window_stats(self._rate, client)
            wait_s = max(1, math.ceil(window.reset_time - time.time()))
        except Exception:  # its storage has failed since
            wait_s = 1
        return RateLimited(f"more than {self._rate}", {"limit": str(self._rate)}, wait_s)

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()


def _guesses_of(address: str) -> str:
    return f"wrong keys of {address}"


class GuessLog:
    """Logs wrong keys, at most one line in `GUESS_LOG_PAUSE_S`, so that a flood of them does not fill the log."""

    def __init__(self) -> None:
        self._untold = 0
        self._told_at = -math.inf

    def add(self, address: str) -> None:
        """Log a wrong key, without the key."""
        self._untold += 1
        if time.monotonic() - self._told_at > GUESS_LOG_PAUSE_S:
            log.warning("wrong API keys", count=self._untold, latest_address=address)
            self._untold, self._told_at = 0, time.monotonic()


def read_timeout(headers: Mapping[str, str], settings: Settings) -> float:
    """Reads the time limit of a request in seconds: `X-Request-Timeout`, up to the cap, or the default.

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
