"""The coalescer: merges concurrent images for the same model into few calls to its replicas.

    handlers               ┌──────── Coalescer ────────┐
    await submit(item) ──► │ waiting: ▢ ▢ ▢ ▢ ▢        │ ── send([▢ ▢ ▢ ▢ ▢]) ──► one call, answers in order
    await submit(item) ──► │ calls in flight: 1        │
                           └───────────────────────────┘

A call between processes costs a millisecond or two of CPU regardless of its size, so waiting items share one. While a
receiver is idle, an item is sent at once. When each receiver has a call, items are gathered for `coalesce_wait_s`,
which adds no latency, as the receivers are busy; then they are sent as a second call, which is decoded in the queue of
the receiver when the first is done. A receiver never has a third.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.errors import Overloaded

T = TypeVar("T")
R = TypeVar("R")

Send = Callable[[list[T]], Awaitable[Sequence[R | BaseException]]]
"""Sends items to a receiver; returns results, or an exception in the place of a single failure, in the same order."""

CALLS_PER_RECEIVER = 2
"""Calls in flight per receiver: one that it processes, and one in its queue."""


@dataclass(slots=True, eq=False)
class _Call:
    """A call in flight, and the number of its callers that still wait for it."""

    task: asyncio.Task[None]
    callers: int

    def lose_caller(self) -> None:
        """Cancel the call when its last caller is cancelled."""
        self.callers -= 1
        if not self.callers:
            self.task.cancel()


@dataclass(slots=True, eq=False)
class _Entry(Generic[T, R]):
    item: T
    future: asyncio.Future[R]
    since: float
    call: _Call | None = None


class Coalescer(Generic[T, R]):
    """Merges concurrent `submit` calls of one event loop into few `send` calls.

    Args:
        send: Sends a list. If it raises, every item of that call gets the exception, and no other.
        max_items: The most items in one call.
        receivers: Number of parallel receivers; each gets up to two calls at a time.
        coalesce_wait_s: How long the second call of a receiver waits for more items, counted from its oldest item.
        max_waiting: The most waiting items; one more is refused.
        weight: Weight of an item towards `max_weight`, such as its bytes.
        max_weight: The largest sum of weights in one call; a heavier item is sent alone.
    """

    def __init__(
        self,
        send: Send[T, R],
        *,
        max_items: int,
        receivers: int,
        coalesce_wait_s: float,
        max_waiting: int = 4096,
        weight: Callable[[T], int] = lambda item: 1,
        max_weight: int = 2**62,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._receivers = receivers
        self._coalesce_wait_s = coalesce_wait_s
        self._max_waiting = max_waiting
        self._weight = weight
        self._max_weight = max_weight
        self._waiting: dict[_Entry[T, R], None] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._wake_up: asyncio.Handle | None = None

    def __len__(self) -> int:
        """Number of items that wait to be sent."""
        return len(self._waiting)

    async def submit(self, item: T) -> R:
        """Send an item in one call with others that wait, and return its result.

        Cancelling the caller removes its item at once; a call is cancelled only when all its callers are cancelled.

        Raises:
            Overloaded: too many items wait.
            Exception: whatever `send` raised, or returned in this item's place.
        """
        if len(self._waiting) >= self._max_waiting:
            raise Overloaded(f"{len(self._waiting)} images already wait to be sent", {"waiting": len(self._waiting)})
        loop = asyncio.get_running_loop()
        entry: _Entry[T, R] = _Entry(item, loop.create_future(), loop.time())
        self._waiting[entry] = None
        if self._wake_up is None:
            # Not at once: what becomes ready in this turn of the event loop travels together.
            self._wake_up = loop.call_soon(self._start_calls)
        try:
            return await entry.future
        except asyncio.CancelledError:
            self._waiting.pop(entry, None)
            if entry.call is not None:
                entry.call.lose_caller()
            raise

    def _start_calls(self) -> None:
        self._wake_up = None
        loop = asyncio.get_running_loop()
        while len(self._calls) < CALLS_PER_RECEIVER * self._receivers and (batch := self._peek()):
            departure = batch[0].since + self._coalesce_wait_s
            if len(self._calls) >= self._receivers and len(batch) < self._max_items and loop.time() < departure:
                self._wake_up = loop.call_at(departure, self._start_calls)
                return
            for entry in batch:
                del self._waiting[entry]
            self._start_call(batch)

    def _start_call(self, batch: list[_Entry[T, R]]) -> None:
        # A context of its own: Ray Serve cancels the calls that belong to a request when its client disconnects, and
        # this one belongs to several.
        task = asyncio.get_running_loop().create_task(self._call(batch), context=Context())
        call = _Call(task, len(batch))
        for entry in batch:
            entry.call = call
        self._calls.add(task)
        task.add_done_callback(self._end_call)

    def _peek(self) -> list[_Entry[T, R]]:
        """The items of the next call."""
        idle = max(1, self._receivers - len(self._calls))
        most = min(self._max_items, -(-len(self._waiting) // idle))
        batch: list[_Entry[T, R]] = []
        weight = 0
        for entry in self._waiting:
            if entry.future.done():  # its caller is about to take it out
                continue
            weight += self._weight(entry.item)
            if len(batch) == most or (batch and weight > self._max_weight):
                break
            batch.append(entry)
        return batch

    async def _call(self, batch: list[_Entry[T, R]]) -> None:
        try:
            results = await self._send([entry.item for entry in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items went out and {len(results)} results came back")
        except asyncio.CancelledError:
            for entry in batch:
                entry.future.cancel()
            raise
        except Exception as error:
            for entry in batch:
                _settle(entry.future, error)
            return
        for entry, result in zip(batch, results, strict=True):
            _settle(entry.future, result)

    def _end_call(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if self._waiting:
            if self._wake_up is not None:
                self._wake_up.cancel()
            self._start_calls()


def _settle(future: asyncio.Future[R], result: R | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
