"""Caps the bytes that a gateway buffers for clients; where the cap is reached, the slowest client is refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from services.errors import Overloaded

T = TypeVar("T")

_LEAST_AGE_S: Final = 1e-3
_HEAD_START_BYTES: Final = 2**16


class TooSlow(Exception):
    """The client has not sent or read in time."""


class Share:
    """The bytes that are buffered for one client.

    Args:
        budget: Counts them.
    """

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._started_at = time.monotonic()
        self._limit: asyncio.Timeout | None = None
        self._is_refused = False
        self.size = 0
        self.moved = 0

    @property
    def rate(self) -> float:
        """Bytes a second that the client has sent or read so far, with a bonus at the start."""
        return (self.moved + _HEAD_START_BYTES) / max(time.monotonic() - self._started_at, _LEAST_AGE_S)

    @property
    def is_waiting(self) -> bool:
        """Whether the gateway waits for the client to send or to read."""
        return self._limit is not None and not self._limit.expired() and not self._is_refused

    def hold(self, size: int) -> None:
        """Count more bytes.

        Raises:
            Overloaded: the cap is reached, and no slower client can be refused in its place.
        """
        self._budget.take(self, size)

    async def wait_for(self, client: Awaitable[T], patience_s: float | None) -> T:
        """Wait until the client has sent or read.

        Args:
            client: The operation to wait for.
            patience_s: Time limit; None: no limit.

        Raises:
            TooSlow: it took longer.
            Overloaded: the bytes are needed for a faster client.
        """
        try:
            async with asyncio.timeout(patience_s) as self._limit:
                received = await client
        except TimeoutError:
            if not self._is_refused:
                raise TooSlow from None
        else:
            if not self._is_refused:
                return received
        finally:
            self._limit = None
        raise self._budget.overloaded()

    def refuse(self) -> None:
        """End the wait with `Overloaded`."""
        if self._limit is not None and self.is_waiting:
            self._is_refused = True
            self._limit.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        """Release all bytes."""
        self._budget.give_back(self)


class ByteBudget:
    """The bytes that are buffered for all clients together.

    Args:
        max_bytes: The most; a single share may have more where it is the only one.
        what: Name of the bytes, for messages.
    """

    def __init__(self, max_bytes: int, what: str) -> None:
        self._max_bytes = max_bytes
        self._what = what
        self._bytes = 0
        self._shares: set[Share] = set()

    def take(self, share: Share, size: int) -> None:
        """Count bytes of a share; where the cap is reached, the slowest client is refused.

        Raises:
            Overloaded: this is the slowest.
        """
        if self._bytes and self._bytes + size > self._max_bytes:
            waiting = (one for one in self._shares if one.is_waiting and one.size >= size)
            slowest = min(waiting, key=lambda one: one.rate, default=share)
            if slowest.rate >= share.rate:
                raise self.overloaded()
            slowest.refuse()
            self.give_back(slowest)
        self._shares.add(share)
        share.size += size
        self._bytes += size

    def give_back(self, share: Share) -> None:
        """Release the bytes of a share."""
        self._shares.discard(share)
        self._bytes -= share.size
        share.size = 0

    def overloaded(self) -> Overloaded:
        """The error where the cap is reached."""
        return Overloaded(f"too many bytes of {self._what} at a time")
