"""The two places where requests are merged: the coalescer of a gateway and the batcher of a replica."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import simpy

from loadtests.simulation.cores import Steps
from services.gateway.serving.coalescer import CALLS_PER_RECEIVER

ROUNDING_S: Final = 1e-9


@dataclass(slots=True, eq=False)
class Image:
    """An image on its way.

    Attributes:
        since: When it was submitted.
        done: Succeeds when its answer is back.
    """

    since: float
    done: simpy.Event


class SimulatedCoalescer:
    """Merges images into calls by the rules of `services.gateway.serving.coalescer.Coalescer`.

    Args:
        env: Simulated time.
        send: Carries one call, from its start until its answer is back.
        max_items: Most images in one call.
        receivers: Replicas; each gets up to two calls at a time.
        coalesce_wait_s: How long the second call of a receiver waits for further items.

    Attributes:
        calls: Calls so far.
        images: Images in them.
    """

    def __init__(
        self,
        env: simpy.Environment,
        send: Callable[[list[Image]], Steps],
        *,
        max_items: int,
        receivers: int,
        coalesce_wait_s: float,
    ) -> None:
        self.calls = 0
        self.images = 0
        self._env = env
        self._send = send
        self._max_items = max_items
        self._receivers = receivers
        self._coalesce_wait_s = coalesce_wait_s
        self._waiting: deque[Image] = deque()
        self._in_flight = 0
        self._wakes_at = math.inf

    def submit(self, image: Image) -> None:
        """Send an image along with what else waits."""
        self._waiting.append(image)
        self._start_calls()

    def _start_calls(self) -> None:
        while self._waiting and self._in_flight < CALLS_PER_RECEIVER * self._receivers:
            idle = max(1, self._receivers - self._in_flight)
            size = min(self._max_items, math.ceil(len(self._waiting) / idle))
            departure = self._waiting[0].since + self._coalesce_wait_s
            if self._in_flight >= self._receivers and size < self._max_items and self._env.now + ROUNDING_S < departure:
                self._wake_at(departure)
                return
            self._env.process(self._call([self._waiting.popleft() for _ in range(size)]))

    def _call(self, images: list[Image]) -> Steps:
        self._in_flight += 1
        self.calls += 1
        self.images += len(images)
        yield from self._send(images)
        self._in_flight -= 1
        for image in images:
            image.done.succeed()
        self._start_calls()

    def _wake_at(self, moment: float) -> None:
        if self._wakes_at <= moment:
            return
        self._wakes_at = moment
        self._env.process(self._wake_up(moment))

    def _wake_up(self, moment: float) -> Steps:
        yield self._env.timeout(moment - self._env.now)
        self._wakes_at = math.inf
        self._start_calls()


class SimulatedBatcher:
    """Runs what waits as one batch when a stream is free, as `services.deployments.batcher.Batcher` does.

    Args:
        env: Simulated time.
        run: Runs one batch of so many images.
        max_batch_size: Most images in a batch.
        streams: Batches that run side by side.

    Attributes:
        batches: Batches so far.
        images: Images in them.
    """

    def __init__(
        self, env: simpy.Environment, run: Callable[[int], Steps], *, max_batch_size: int, streams: int
    ) -> None:
        self.batches = 0
        self.images = 0
        self._env = env
        self._run = run
        self._max_batch_size = max_batch_size
        self._idle = streams
        self._waiting: deque[simpy.Event] = deque()

    def submit(self) -> simpy.Event:
        """Queue an image; the event succeeds when its batch has run."""
        done = self._env.event()
        self._waiting.append(done)
        if len(self._waiting) == 1:
            self._env.process(self._start_soon())
        return done

    def _start_soon(self) -> Steps:
        yield self._env.timeout(0)  # what comes at the same moment is in the same batch
        self._start_batches()

    def _start_batches(self) -> None:
        while self._idle and self._waiting:
            size = min(self._max_batch_size, len(self._waiting))
            self._idle -= 1
            self._env.process(self._run_batch([self._waiting.popleft() for _ in range(size)]))

    def _run_batch(self, images: Iterable[simpy.Event]) -> Steps:
        batch = list(images)
        self.batches += 1
        self.images += len(batch)
        yield from self._run(len(batch))
        self._idle += 1
        for done in batch:
            done.succeed()
        self._start_batches()
