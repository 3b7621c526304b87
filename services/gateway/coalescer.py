"""The coalescer: requests that wait for the same receiver go out together, as one call with a list.

    handlers               ┌──────── Coalescer ────────┐
    await submit(item) ──► │ waiting: ▢ ▢ ▢ ▢ ▢        │ ── send([▢ ▢ ▢ ▢ ▢]) ──► one call, answers in order
    await submit(item) ──► │ calls in flight: 1        │
                           └───────────────────────────┘

A hop between processes costs about a millisecond of CPU however much it carries, so it is paid once for all that waits.
The first item goes out at once. While a call is in flight, the next follows `interval_s` after it at the earliest: fast
receivers answer before that, so one call is out at a time and each carries what came meanwhile; slow receivers get a
further call every `interval_s`, so that their own queue fills and they never idle.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services.errors import Overloaded

T = TypeVar("T")
R = TypeVar("R")

Send = Callable[[list[T]], Awaitable[Sequence[R | BaseException]]]
"""Carries items to the receiver: results, or an exception in the place of a single failure, in the same order."""


class Coalescer(Generic[T, R]):
    """Merges concurrent `submit` calls of one event loop into few `send` calls.

    Args:
        send: Carries a list. If it raises, every item of that call gets the exception, and no other.
        max_items: Most items in one call.
        max_calls: Most calls in flight.
        interval_s: Least time between the starts of two calls while one is in flight.
        max_waiting: Items that may wait; one more is refused.
        weight: What an item counts towards `max_weight`: its bytes, say.
        max_weight: Largest sum of weights in one call; a single heavier item goes alone.
    """

    def __init__(
        self,
        send: Send[T, R],
        *,
        max_items: int,
        max_calls: int,
        interval_s: float,
        max_waiting: int = 4096,
        weight: Callable[[T], int] = lambda item: 1,
        max_weight: int = 2**62,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._max_calls = max_calls
        self._interval_s = interval_s
        self._max_waiting = max_waiting
        self._weight = weight
        self._max_weight = max_weight
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._last_start = float("-inf")
        self._wake_up: asyncio.Handle | None = None

    def __len__(self) -> int:
        """Items that wait to be sent."""
        return len(self._waiting)

    async def submit(self, item: T) -> R:
        """Send an item along with whatever else waits, and return its result.

        Cancelling the caller takes its item out; a call is cancelled only when all its callers are gone.

        Raises:
            Overloaded: too many items wait.
            Exception: whatever `send` raised, or returned in this item's place.
        """
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(f"{len(self._waiting)} images already wait to be sent", {"waiting": len(self._waiting)})
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future))
        if self._wake_up is None:
            # Not at once: what becomes ready in this turn of the event loop travels together.
            self._wake_up = loop.call_soon(self._start_calls)
        return await future

    def _start_calls(self) -> None:
        self._wake_up = None
        loop = asyncio.get_running_loop()
        while len(self._calls) < self._max_calls and (batch := self._peek_live()):
            now = loop.time()
            if self._calls and now < self._last_start + self._interval_s:
                self._wake_up = loop.call_at(self._last_start + self._interval_s, self._start_calls)
                return
            for _ in batch:
                self._waiting.popleft()
            self._last_start = now
            call = loop.create_task(self._call(batch))
            self._calls.add(call)
            call.add_done_callback(self._end_call)
            for _, future in batch:
                future.add_done_callback(lambda _, call=call, batch=batch: self._cancel_if_deserted(call, batch))

    def _peek_live(self) -> list[tuple[T, asyncio.Future[R]]]:
        """What the next call would carry, after dropping items whose callers are gone."""
        if any(future.done() for _, future in self._waiting):
            self._waiting = deque(entry for entry in self._waiting if not entry[1].done())
        batch: list[tuple[T, asyncio.Future[R]]] = []
        weight = 0
        for entry in self._waiting:
            weight += self._weight(entry[0])
            if batch and (len(batch) >= self._max_items or weight > self._max_weight):
                break
            batch.append(entry)
        return batch

    async def _call(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._send([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items went out and {len(results)} results came back")
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:
            for _, future in batch:
                _settle(future, error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            _settle(future, result)

    def _end_call(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting:
            if self._wake_up is not None:
                self._wake_up.cancel()
            self._start_calls()

    @staticmethod
    def _cancel_if_deserted(call: asyncio.Task[None], batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        if not call.done() and all(future.cancelled() for _, future in batch):
            call.cancel()


def _settle(future: asyncio.Future[R], result: R | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
