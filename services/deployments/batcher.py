"""Dynamic batching: when the device is free, the queued items become the next batch.

                            ┌────────── Batcher ──────────┐
    submit(item, key) ────► │ key a: ▢ ▢ ▢ ▢              │   device thread          pool
    submit(item, key) ────► │ key b: ▢ ▢                  ├─► run: one batch  ──►  finish ──► each caller's future
    submit(item, key) ────► │                             │   of one key
                            └─────────────────────────────┘

The device thread chooses the user that has used the least device time, of its keys the one with the oldest item, and
takes as many items of that key as the limits allow. Items that arrive while it runs form the next batch. A single item
is therefore never delayed, and under load batches fill up.

A failed batch is bisected: its halves are run again, recursively, so that after at most log2(batch size) more runs only
the failing item fails, and the others get their results. The same applies when the device is out of memory; batches
stay smaller for a while then.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from services.deployments.fair_turns import FairTurns, Turn
from services.errors import NotReady, OutOfTime, Overloaded, ServiceError

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")

Run = Callable[[Hashable, Sequence[T]], B]
"""Runs one batch on the device: (key, items) → raw output, the input of `Finish`."""
Finish = Callable[[Hashable, Sequence[T], B], Sequence[R]]
"""Converts raw output to results, of the same length and order as the items."""

SMALLER_BATCHES_S = 60.0
"""Seconds for which batches stay smaller after the device was out of memory, which other processes may have caused."""


class OutOfDeviceMemory(ServiceError):
    """Raised by `Run` where the device has too little memory for the batch; a smaller one may fit."""


@dataclass(frozen=True, slots=True)
class _Cap:
    items: int
    until_s: float


@dataclass(slots=True, eq=False)
class _Entry(Generic[T, R]):
    item: T
    cost: int
    deadline_s: float
    queued_at: float
    future: Future[Queued[R]]


@dataclass(frozen=True, slots=True, eq=False)
class _Batch(Generic[T, R]):
    key: Hashable
    entries: list[_Entry[T, R]]
    turn: Turn


@dataclass(frozen=True, slots=True)
class Queued(Generic[R]):
    """A result, and the queueing time of its item."""

    result: R
    queue_s: float


class Batcher(Generic[T, B, R]):
    """Collects items from many threads into batches for the device.

    Args:
        run: Runs one batch, on a device thread. Where it raises, the halves are run; the caller of an item that fails
            alone gets the exception. Several device threads call it at once.
        finish: Makes the results of a batch. Only the callers of that batch get its exceptions.
        pool_of: Thread pool of `finish` by key, in which it runs beside the next batch; None: on the device thread.
        user_of: The user that the runs of a key are charged to. Users share the device time equally.
        max_batch_size: The most items in a batch.
        max_batch_cost: The largest sum of costs in a batch; an item of higher cost runs alone.
        max_queue_items: The most queued items; one more is refused.
        max_queue_cost: The largest sum of costs of queued items, likewise; an item alone in the queue is never refused.
        passes: Images that an item takes through the network, at least 1, the same for all items of a key; they count
            towards `max_batch_size`, which an item alone may exceed.
        cost: Cost of an item towards `max_batch_cost` and `max_queue_cost`, such as its pixels.
        batch_wait_timeout_s: Longest time that the oldest item waits for its batch to fill; 0 runs it at once.
        streams: Device threads, each of which runs its own batch: one for a GPU, one for each core on a CPU.
        initializer: Called once on each device thread, before its first batch.
    """

    def __init__(
        self,
        run: Run[T, B],
        finish: Finish[T, B, R],
        pool_of: Callable[[Hashable], Executor | None],
        *,
        user_of: Callable[[Hashable], Hashable] = lambda key: key,
        max_batch_size: int,
        max_batch_cost: int = 2**62,
        max_queue_items: int = 1024,
        max_queue_cost: int = 2**62,
        cost: Callable[[T], int] = lambda item: 0,
        passes: Callable[[T], int] = lambda item: 1,
        batch_wait_timeout_s: float = 0.0,
        streams: int = 1,
        initializer: Callable[[], object] = lambda: None,
    ) -> None:
        self._run = run
        self._finish = finish
        self._pool_of = pool_of
        self._user_of = user_of
        self._max_batch_size = max_batch_size
        self._max_batch_cost = max_batch_cost
        self._max_queue_items = max_queue_items
        self._max_queue_cost = max_queue_cost
        self._cost = cost
        self._passes = passes
        self._batch_wait_timeout_s = batch_wait_timeout_s
        self._initializer = initializer
        self._queues: dict[Hashable, deque[_Entry[T, R]]] = {}
        self._turns = FairTurns()
        self._caps: dict[Hashable, _Cap] = {}
        self._size = 0
        self._queued_cost = 0
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._serve, name=f"device-{n}", daemon=True) for n in range(streams)]
        for thread in self._threads:
            thread.start()

    def __len__(self) -> int:
        """Number of queued items."""
        return self._size

    def is_alive(self) -> bool:
        """Whether every device thread still runs; otherwise the replica must report that it is unhealthy."""
        return all(thread.is_alive() for thread in self._threads)

    def submit(
        self, item: T, key: Hashable, deadline_s: float = float("inf"), future: Future[Queued[R]] | None = None
    ) -> Future[Queued[R]]:
        """Queue an item; thread-safe. Cancelling the future removes the item from the queue.

        Args:
            item: Element of the list that `run` gets.
            key: Only items of equal keys share a batch (model and input shape).
            deadline_s: `time.monotonic()` after which the item is dropped unrun.
            future: Gets the result; None: a new one.

        Returns:
            The future of the result. It fails with the exception of `run`, or with `OutOfTime` past the deadline.

        Raises:
            Overloaded: the queue is full.
            NotReady: the batcher is closed.
        """
        entry: _Entry[T, R] = _Entry(item, self._cost(item), deadline_s, time.monotonic(), future or Future())
        with self._changed:
            if self._closed:
                raise NotReady("this replica is shutting down")
            too_much = self._size and self._queued_cost + entry.cost > self._max_queue_cost
            if self._size >= self._max_queue_items or too_much:
                raise Overloaded(f"{self._size} images already wait for the device", {"queued": self._size})
            self._queues.setdefault(key, deque()).append(entry)
            self._size += 1
            self._queued_cost += entry.cost
            self._changed.notify()
        entry.future.add_done_callback(lambda future: self._remove(key, entry) if future.cancelled() else None)
        return entry.future

    def close(self) -> None:
        """Run the queued items, then end the device threads. Returns once they have ended."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _remove(self, key: Hashable, entry: _Entry[T, R]) -> None:
        with self._changed:
            queue = self._queues.get(key)
            if queue and entry in queue:
                queue.remove(entry)
                self._size -= 1
                self._queued_cost -= entry.cost
                if not queue:
                    del self._queues[key]

    def _serve(self) -> None:
        self._initializer()
        while (batch := self._next_batch()) is not None:
            started_at = time.monotonic()
            images = self._execute(batch, started_at)
            self._end_turn(batch.turn, images, time.monotonic() - started_at)

    def _next_batch(self) -> _Batch[T, R] | None:
        """Wait for items and take one batch; None once the batcher is closed and empty."""
        with self._changed:
            while True:
                while not self._queues:
                    if self._closed:
                        return None
                    self._changed.wait()
                waits_s = {key: self._time_to_fill(key) for key in self._queues}
                ready = [key for key, wait_s in waits_s.items() if wait_s <= 0]
                if ready:
                    return self._take(ready)
                self._changed.wait(min(waits_s.values()))

    def _take(self, ready: list[Hashable]) -> _Batch[T, R]:
        ready.sort(key=lambda key: self._queues[key][0].queued_at)
        key = self._turns.next(ready, self._user_of)
        entries = self._pop_batch(key)
        images = self._images_of(entries)
        return _Batch(key, entries, self._turns.begin(self._user_of(key), images, time.monotonic()))

    def _time_to_fill(self, key: Hashable) -> float:
        """Seconds that a batch of `key` may still wait for more items."""
        if self._closed or not self._batch_wait_timeout_s:
            return 0.0
        queue = self._queues[key]
        cost = sum(entry.cost for entry in queue)
        if len(queue) >= self._max_items(key) or cost + queue[0].cost > self._max_batch_cost:
            return 0.0
        return queue[0].queued_at + self._batch_wait_timeout_s - time.monotonic()

    def _max_items(self, key: Hashable) -> int:
        now = time.monotonic()
        if key in self._caps and now > self._caps[key].until_s:
            del self._caps[key]
        images = self._passes(self._queues[key][0].item)
        most = self._caps[key].items if key in self._caps else max(1, self._max_batch_size // images)
        in_turn = self._turns.most_images(self._user_of(key), now)
        return min(most, max(1, in_turn // images) if in_turn else most)

    def _images_of(self, entries: Sequence[_Entry[T, R]]) -> int:
        """Images that entries of one key take through the network."""
        return len(entries) * self._passes(entries[0].item) if entries else 0

    def _pop_batch(self, key: Hashable) -> list[_Entry[T, R]]:
        queue, most = self._queues[key], self._max_items(key)
        batch = [queue.popleft()]
        cost = batch[0].cost
        while queue and len(batch) < most and cost + queue[0].cost <= self._max_batch_cost:
            batch.append(queue.popleft())
            cost += batch[-1].cost
        self._size -= len(batch)
        self._queued_cost -= cost
        if not queue:
            del self._queues[key]
        return batch

    def _end_turn(self, turn: Turn, images: int, took_s: float) -> None:
        with self._changed:
            self._turns.end(turn, images, took_s)

    def _execute(self, batch: _Batch[T, R], now: float) -> int:
        """Run the items that are not cancelled; returns the images that went through the network."""
        live = [entry for entry in batch.entries if _start(entry, now)]
        if live:
            self._run_or_halve(batch.key, live, now)
        return self._images_of(live)

    def _run_or_halve(self, key: Hashable, live: list[_Entry[T, R]], started_at: float) -> None:
        error = self._run_once(key, live, started_at)
        if error is None:
            return
        if len(live) == 1 or not isinstance(error, Exception):
            _fail(live, error)
            return
        half = len(live) // 2
        if isinstance(error, OutOfDeviceMemory):
            with self._changed:
                self._caps[key] = _Cap(half, time.monotonic() + SMALLER_BATCHES_S)
        del error  # its traceback holds what the failed run has made
        self._run_or_halve(key, live[:half], started_at)
        self._run_or_halve(key, live[half:], started_at)

    def _run_once(self, key: Hashable, live: list[_Entry[T, R]], started_at: float) -> BaseException | None:
        try:
            output = self._run(key, [entry.item for entry in live])
            if (pool := self._pool_of(key)) is not None:
                pool.submit(self._deliver, key, live, output, started_at)
                return None
        except BaseException as error:  # the device thread outlives whatever a batch raises
            return error
        self._deliver(key, live, output, started_at)
        return None

    def _deliver(self, key: Hashable, live: list[_Entry[T, R]], output: B, started_at: float) -> None:
        try:
            results = self._finish(key, [entry.item for entry in live], output)
            if len(results) != len(live):
                raise RuntimeError(f"{len(live)} items went in and {len(results)} results came out")
        except BaseException as error:
            _fail(live, error)
            return
        for entry, result in zip(live, results, strict=True):
            entry.future.set_result(Queued(result, started_at - entry.queued_at))


def _start(entry: _Entry[Any, Any], now: float) -> bool:
    """Whether this entry is not cancelled; from here on it cannot be."""
    if not entry.future.set_running_or_notify_cancel():
        return False
    if now > entry.deadline_s:
        entry.future.set_exception(OutOfTime("the time limit passed while the image waited for the device"))
        return False
    return True


def _fail(entries: Sequence[_Entry[Any, Any]], error: BaseException) -> None:
    for entry in entries:
        entry.future.set_exception(error)
