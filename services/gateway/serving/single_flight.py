"""Single flight: concurrent calls with the same key share one execution and its result
(golang.org/x/sync/singleflight)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")


@dataclass(slots=True)
class _Flight(Generic[R]):
    task: asyncio.Task[R]
    waiting: int = 0


class SingleFlight(Generic[R]):
    """Deduplicates concurrent calls of one event loop by key."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[R]] = {}

    def is_flying(self, key: str) -> bool:
        """Whether a call with this key is in flight."""
        return key in self._flights

    async def run(self, key: str, work: Callable[[], Awaitable[R]]) -> R:
        """The result of `work`, or of the call with the same key that is in flight.

        Cancelling a caller does not affect the others; the work is cancelled with its last caller.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(work()))
            flight.task.add_done_callback(lambda task: self._land(key, task))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if flight.waiting == 0 and not flight.task.done():
                self._land(key, flight.task)
                flight.task.cancel()

    def _land(self, key: str, task: asyncio.Task[R]) -> None:
        if key in self._flights and self._flights[key].task is task:
            del self._flights[key]
        if task.done() and not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not report it where no caller is left
