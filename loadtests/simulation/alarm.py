"""A callback at a moment of simulated time, of which only the earliest counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import simpy

from loadtests.simulation.cores import Steps


class Alarm:
    """Calls back at the earliest moment that was set; a later one is not kept.

    Args:
        env: Simulated time.
        ring: Called at the moment; it sets the next one.
    """

    def __init__(self, env: simpy.Environment, ring: Callable[[], None]) -> None:
        self._env = env
        self._ring = ring
        self._rings_at = math.inf

    def set(self, moment: float) -> None:
        """Rings at a moment, unless it rings at that one or earlier anyway."""
        if self._rings_at <= moment:
            return
        self._rings_at = moment
        self._env.process(self._wait(moment))

    def _wait(self, moment: float) -> Steps:
        yield self._env.timeout(moment - self._env.now)
        if self._rings_at == moment:
            self._rings_at = math.inf
        self._ring()
