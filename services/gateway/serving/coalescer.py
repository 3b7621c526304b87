"""The coalescer: requests that wait for the same receiver go out together, as one call with a list.

    handlers               ┌──────── Coalescer ────────┐
    await submit(item) ──► │ waiting: ▢ ▢ ▢ ▢ ▢        │ ── send([▢ ▢ ▢ ▢ ▢]) ──► one call, answers in order
    await submit(item) ──► │ calls in flight: 1        │
                           └───────────────────────────┘

A hop between processes costs a millisecond or two of CPU however much it carries, so it is paid once for all that wait.
While a receiver is idle, an item goes out at once. When each has a call, what comes is gathered for `coalesce_wait_s`,
which costs nobody anything, for the receivers are busy; then it goes out as a second call, which waits in the queue of
the receiver, decoded and ready, when the first is done. There is no third.
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
"""Carries items to the receiver: results, or an exception in the place of a single failure, in the same order."""

CALLS_PER_RECEIVER = 2
"""One that it works on, and one that waits there."""


@dataclass(slots=True, eq=False)
class _Call:
    """A call in flight, and how many of its callers still wait for it."""

    task: asyncio.Task[None]
    callers: int

    def lose_caller(self) -> None:
        """Cancel the call when its last caller has gone."""
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
        send: Carries a list. If it raises, every item of that call gets the exception, and no other.
        max_items: Most items in one call.
        receivers: How many work side by side; each gets up to two calls at a time.
        coalesce_wait_s: How long the second call of a receiver waits for company, counted from its oldest item.
        max_waiting: Items that may wait; one more is refused.
        weight: What an item counts towards `max_weight`: its bytes, say.
        max_weight: Largest sum of weights in one call; a single heavier item goes alone.
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
        """Items that wait to be sent."""
        return len(self._waiting)

    async def submit(self, item: T) -> R:
        """Send an item along with whatever else waits, and return its result.

        Cancelling the caller takes its item out at once; a call is cancelled only when all its callers are gone.

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
        """What the next call would carry."""
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
