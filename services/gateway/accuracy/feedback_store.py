"""The shared store of gateways: receipts of answers, claims of feedback, and sliding windows, on Redis or in memory.

An answer has a line of some hundred bytes, under a key of client and request: the model, and the key in the result
cache. Lines are sent in the background, together with other commands, so that a request costs microseconds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Final, Protocol, cast

import structlog
from redis.exceptions import RedisError

from services.gateway.serving.cache import connect
from services.gateway.serving.pipelined_redis import PipelinedRedis
from services.gateway.serving.seals import Seal

log = structlog.get_logger()

MAX_WAITING: Final = 4096
"""The most lines that wait; further ones are dropped, and their answers accept no feedback."""

WINDOW_TTL_S: Final = 30 * 24 * 3600
"""Time to live of a window without new entries, such as that of replaced weights."""

MAX_LINES: Final = 50_000
"""The most lines of a store in memory, the latest."""

LEAST_PATIENCE_S: Final = 1.0
"""The least timeout of an operation, even where that of the result cache is shorter: no prediction waits for it."""

WARNING_PAUSE_S: Final = 30.0
"""Least seconds between two equal log lines."""

_ASKED: Final = "tapetum:asked:"
_CLAIM: Final = "tapetum:given:"
_WINDOW: Final = "tapetum:window:"


class StoreFailed(Exception):
    """The store is down or slow; its argument names the reason."""


class FeedbackStore(Protocol):
    """The interface of the shared store."""

    def remember(self, name: str, line: bytes, ttl_s: int, answers: Sequence[str] = ()) -> None:
        """Store the line of a request in the background. Never raises.

        Args:
            name: Key of the request; a later line of the same key replaces it.
            line: The value.
            ttl_s: Time to live in seconds.
            answers: Keys of the result cache whose time to live is extended to the same.
        """
        ...

    async def recall(self, name: str) -> bytes | None:
        """Read the line of a request; None where there is none (any more).

        Raises:
            StoreFailed
        """
        ...

    async def claim(self, name: str, ttl_s: int) -> bool:
        """Claim a name; returns whether it was unclaimed.

        Raises:
            StoreFailed
        """
        ...

    async def release(self, name: str) -> None:
        """Take back a claim.

        Raises:
            StoreFailed
        """
        ...

    async def push(self, window: str, entries: Sequence[bytes], size: int) -> None:
        """Put entries into a window, the oldest first, of which the latest `size` are kept.

        Raises:
            StoreFailed: some of them may have been put there all the same.
        """
        ...

    async def read(self, windows: Sequence[str], size: int) -> list[list[bytes]]:
        """The latest entries of each window, the newest first.

        Raises:
            StoreFailed
        """
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class MemoryStore:
    """A store of one process, for tests and for a gateway on its own."""

    def __init__(self) -> None:
        self.lines: dict[str, tuple[float, bytes]] = {}
        self.claims: dict[str, float] = {}
        self.windows: dict[str, deque[bytes]] = {}

    def remember(self, name: str, line: bytes, ttl_s: int, answers: Sequence[str] = ()) -> None:
        """Keep a line of a request."""
        self.lines.pop(name, None)
        self.lines[name] = (time.monotonic() + ttl_s, line)
        while len(self.lines) > MAX_LINES:
            del self.lines[next(iter(self.lines))]

    async def recall(self, name: str) -> bytes | None:
        """The line of a request."""
        expires_at, line = self.lines.get(name, (0.0, b""))
        return line if time.monotonic() < expires_at else None

    async def claim(self, name: str, ttl_s: int) -> bool:
        """Claim a name; returns whether it was unclaimed."""
        if time.monotonic() < self.claims.get(name, 0.0):
            return False
        self.claims[name] = time.monotonic() + ttl_s
        while len(self.claims) > MAX_LINES:
            del self.claims[next(iter(self.claims))]
        return True

    async def release(self, name: str) -> None:
        """Take back a claim."""
        self.claims.pop(name, None)

    async def push(self, window: str, entries: Sequence[bytes], size: int) -> None:
        """Put entries into a window."""
        kept = self.windows.setdefault(window, deque(maxlen=size))
        kept.extendleft(entries)

    async def read(self, windows: Sequence[str], size: int) -> list[list[bytes]]:
        """The latest entries of each window, the newest first."""
        return [list(self.windows.get(window, ()))[:size] for window in windows]

    async def close(self) -> None:
        """Forget everything."""
        self.lines.clear()


class RedisStore:
    """A store on the Redis-compatible server that has the result cache, too, for all gateways that use it.

    Redis before version 7 does not know how to let an answer live longer: there, feedback on an answer that came from
    the cache is taken only as long as that was to stay there.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
        pipeline: Another connection to it, on which lines are sent together with the commands of the result cache.
        timeout_s: Longest time that one operation may take, but at least `LEAST_PATIENCE_S`.
        secret: That checksums of lines are keyed with.
    """

    def __init__(self, url: str, pipeline: PipelinedRedis, *, timeout_s: float, secret: str | None = None) -> None:
        self._redis = connect(url, max(timeout_s, LEAST_PATIENCE_S))
        self._pipeline = pipeline
        self._seal = Seal(secret)
        self._sent: dict[str, bytes] = {}
        self._warned_at = float("-inf")

    def remember(self, name: str, line: bytes, ttl_s: int, answers: Sequence[str] = ()) -> None:
        """Keep a line of a request, some time soon."""
        if len(self._sent) >= MAX_WAITING:
            return
        self._sent[name] = line
        self._pipeline.tell(
            ("SET", f"{_ASKED}{name}", self._seal.close(name, line), "EX", ttl_s), partial(self._end, name)
        )
        for key in answers:
            self._pipeline.tell(("EXPIRE", key, ttl_s, "GT"), self._warn)

    async def recall(self, name: str) -> bytes | None:
        """The line of a request; one whose checksum is wrong is as good as none."""
        if name in self._sent:
            return self._sent[name]
        try:
            stored = cast(bytes | None, await self._redis.get(f"{_ASKED}{name}"))
        except RedisError as error:
            raise StoreFailed(type(error).__name__) from None
        return stored and self._seal.open(name, stored)

    async def claim(self, name: str, ttl_s: int) -> bool:
        """Claim a name; returns whether it was unclaimed."""
        try:
            return await self._redis.set(f"{_CLAIM}{name}", b"", ex=ttl_s, nx=True) is not None
        except RedisError as error:
            raise StoreFailed(type(error).__name__) from None

    async def release(self, name: str) -> None:
        """Take back a claim."""
        try:
            await self._redis.delete(f"{_CLAIM}{name}")
        except RedisError as error:
            raise StoreFailed(type(error).__name__) from None

    async def push(self, window: str, entries: Sequence[bytes], size: int) -> None:
        """Put entries into a window."""
        if not entries:
            return
        key = f"{_WINDOW}{window}"
        pipeline = self._redis.pipeline()
        pipeline.lpush(key, *cast(Sequence[str], entries))
        pipeline.ltrim(key, 0, size - 1)
        pipeline.expire(key, WINDOW_TTL_S)
        try:
            await pipeline.execute()
        except RedisError as error:
            raise StoreFailed(type(error).__name__) from None

    async def read(self, windows: Sequence[str], size: int) -> list[list[bytes]]:
        """The latest entries of each window, the newest first."""
        if not windows:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for window in windows:
            pipeline.lrange(f"{_WINDOW}{window}", 0, size - 1)
        try:
            return cast(list[list[bytes]], await pipeline.execute())
        except RedisError as error:
            raise StoreFailed(type(error).__name__) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._pipeline.close()
        await self._redis.aclose()

    def _end(self, name: str, reply: object) -> None:
        """A line has been stored, or has not."""
        self._sent.pop(name, None)
        self._warn(reply)

    def _warn(self, reply: object) -> None:
        if isinstance(reply, RedisError) and time.monotonic() - self._warned_at > WARNING_PAUSE_S:
            self._warned_at = time.monotonic()
            log.warning("answers take no feedback", reason=type(reply).__name__)
