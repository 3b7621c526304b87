"""Limits the share of a core that a thread takes, one piece of work after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

LONGEST_REST_S: Final = 0.5
"""The most seconds that work waits for the rest after the work before it."""


class Pace:
    """Rests after each piece of work as long as it took, at most `LONGEST_REST_S`, before the next one starts.

    Work that comes later than that does not wait. A stream of short pieces takes half of a core, so that other threads
    have the caches and the memory of the machine to themselves for half of the time.

    Args:
        clock: Seconds of a monotonic clock.
        sleep: Waits some seconds.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._rested_at = 0.0

    @contextmanager
    def work(self) -> Iterator[None]:
        """Waits for the rest after the work before, and does work."""
        remaining_s = self._rested_at - self._clock()
        if remaining_s > 0:
            self._sleep(remaining_s)
        started_at = self._clock()
        try:
            yield
        finally:
            ended_at = self._clock()
            self._rested_at = ended_at + min(ended_at - started_at, LONGEST_REST_S)
