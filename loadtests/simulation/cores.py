"""CPU cores and the processes that share them, as SimPy resources."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import Any, Final

import simpy

SLICE_S: Final = 0.003
"""How long a thread keeps a core that others wait for: about the base slice of Linux' scheduler."""

Steps = Generator[simpy.Event, Any, None]
"""A SimPy process: yields the events that it waits for."""


class Times:
    """Draws durations from a gamma distribution.

    Args:
        chance: Source of randomness.
        variation: Standard deviation over mean: 0 is constant, 1 exponential.
    """

    def __init__(self, chance: random.Random, variation: float) -> None:
        self._chance = chance
        self._shape = 1 / variation**2 if variation else 0.0

    def draw(self, mean_s: float) -> float:
        """A duration of this mean, in seconds."""
        if not self._shape or not mean_s:
            return mean_s
        return self._chance.gammavariate(self._shape, mean_s / self._shape)


class Cores:
    """The cores of one machine, handed out in turn, a time slice each (round robin).

    Args:
        env: Simulated time.
        count: Cores; None: every thread has a core of its own.
    """

    def __init__(self, env: simpy.Environment, count: int | None) -> None:
        self._env = env
        self._cores = None if count is None else simpy.Resource(env, count)

    def work(self, seconds: float) -> Steps:
        """Use a core for so many seconds of CPU time."""
        if self._cores is None:
            yield self._env.timeout(seconds)
            return
        while seconds > 0:
            with self._cores.request() as turn:
                yield turn
                used = min(seconds, SLICE_S)
                yield self._env.timeout(used)
            seconds -= used


class Process:
    """A process with some threads: work waits for a thread of the process first, and for a core then.

    Args:
        env: Simulated time.
        cores: What it runs on.
        times: Draws how long work takes.
        threads: Pieces of work that run side by side; an event loop has one.

    Attributes:
        cpu_s: CPU time that it used so far.
    """

    def __init__(self, env: simpy.Environment, cores: Cores, times: Times, threads: int = 1) -> None:
        self.cpu_s = 0.0
        self._cores = cores
        self._times = times
        self._threads = simpy.Resource(env, threads)

    def work(self, mean_s: float) -> Steps:
        """Do a piece of work that takes `mean_s` seconds of CPU time on average."""
        if not mean_s:
            return
        with self._threads.request() as turn:
            yield turn
            seconds = self._times.draw(mean_s)
            yield from self._cores.work(seconds)
            self.cpu_s += seconds
