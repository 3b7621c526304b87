"""The batcher of a model replica: which of the waiting images a free device thread takes, and when."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Literal

import simpy

from loadtests.simulation.alarm import Alarm
from loadtests.simulation.cores import Steps

ROUNDING_S: Final = 1e-9
WaitFor = Literal["nothing", "time", "decoding", "share"]
"""What a batch that is not full waits for, but no longer than `Policy.wait_s`:

    nothing   it is run at once
    time      for further images, whether or not there are any
    decoding  for the images that this replica is decoding; where there are none, it is run at once
    share     until it has its share of the images in the replica, those in batches included: all of them over the
              number of device threads
"""


@dataclass(frozen=True)
class Policy:
    """When a batch that is not full is run.

    Attributes:
        wait_for: See `WaitFor`.
        wait_s: Longest wait of the oldest image of a batch.
    """

    wait_for: WaitFor = "nothing"
    wait_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiting:
    since: float
    done: simpy.Event


class SimulatedBatcher:
    """Runs images of one shape as one batch when a stream is free, as `services.deployments.batcher.Batcher` does.

    Args:
        env: Simulated time.
        run: Runs one batch of so many images.
        max_batch_size: Most images in a batch.
        streams: Batches that run side by side.
        policy: When a batch that is not full is run.

    Attributes:
        batches: Batches so far.
        images: Images in them.
    """

    def __init__(
        self,
        env: simpy.Environment,
        run: Callable[[int], Steps],
        *,
        max_batch_size: int,
        streams: int,
        policy: Policy = Policy(),
    ) -> None:
        self.batches = 0
        self.images = 0
        self._env = env
        self._run = run
        self._max_batch_size = max_batch_size
        self._streams = self._idle = streams
        self._policy = policy
        self._queues: dict[Hashable, deque[_Waiting]] = {}
        self._decoding = 0
        self._running = 0
        self._is_starting = False
        self._alarm = Alarm(env, self._start_batches)

    def expect(self) -> None:
        """An image is about to be decoded, and will be submitted."""
        self._decoding += 1

    def submit(self, shape: Hashable = None, *, was_expected: bool = False) -> simpy.Event:
        """Queue an image; the event succeeds when its batch has run.

        Args:
            shape: Only images of equal shapes share a batch.
            was_expected: Whether it was announced by `expect`.
        """
        self._decoding -= was_expected
        done = self._env.event()
        self._queues.setdefault(shape, deque()).append(_Waiting(self._env.now, done))
        if not self._is_starting:
            self._is_starting = True
            self._env.process(self._start_soon())
        return done

    def _start_soon(self) -> Steps:
        yield self._env.timeout(0)  # what comes at the same moment is in the same batch
        self._is_starting = False
        self._start_batches()

    def _start_batches(self) -> None:
        while self._idle and self._queues:
            shape = min(self._queues, key=self._run_at)
            if (run_at := self._run_at(shape)) > self._env.now + ROUNDING_S:
                self._alarm.set(run_at)
                return
            queue = self._queues[shape]
            batch = [queue.popleft() for _ in range(min(self._max_batch_size, len(queue)))]
            if not queue:
                del self._queues[shape]
            self._idle -= 1
            self._env.process(self._run_batch(batch))

    def _run_at(self, shape: Hashable) -> float:
        """When the images of a shape may be run; those whose time has come are in the order of the oldest."""
        queue = self._queues[shape]
        oldest = queue[0].since
        return oldest + (self._policy.wait_s if len(queue) < self._wanted(len(queue)) else 0.0)

    def _wanted(self, queued: int) -> int:
        """Images that a batch waits for."""
        most = self._max_batch_size
        if self._policy.wait_for == "time":
            return most
        if self._policy.wait_for == "decoding":
            return min(most, queued + self._decoding)
        if self._policy.wait_for == "share":
            everywhere = self._decoding + self._running + sum(map(len, self._queues.values()))
            return min(most, math.ceil(everywhere / self._streams))
        return 0

    def _run_batch(self, batch: list[_Waiting]) -> Steps:
        self.batches += 1
        self.images += len(batch)
        self._running += len(batch)
        yield from self._run(len(batch))
        self._running -= len(batch)
        self._idle += 1
        for image in batch:
            image.done.succeed()
        self._start_batches()
