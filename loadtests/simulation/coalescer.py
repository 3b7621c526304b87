"""The coalescer of a gateway, which merges images into calls to the replicas."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import simpy

from loadtests.simulation.alarm import Alarm
from loadtests.simulation.batcher import ROUNDING_S
from loadtests.simulation.cores import Steps
from services.gateway.serving.coalescer import CALLS_PER_RECEIVER


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
        self._alarm = Alarm(env, self._start_calls)

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
                self._alarm.set(departure)
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
