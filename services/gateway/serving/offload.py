"""Thread pools for CPU-bound work off the event loop, and time limits that end such work.

A thread cannot be cancelled from outside, so the work checks its `TimeLimit` between steps.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from services.errors import OutOfTime

T = TypeVar("T")

SWITCH_INTERVAL_S: Final = 0.001
"""GIL switch interval (`sys.setswitchinterval`). An iteration of the event loop takes the GIL several times:
beside two threads that compute, one took up to 42 ms with Python's 5 ms, and 0.1 ms with this (2 cores, p99 of 150)."""


INLINE_BYTES: Final = 2**15
"""JSON of no more bytes is parsed or joined on the event loop; passing it to a thread would cost more."""


class TimeLimit:
    """The deadline of a task in a thread.

    Args:
        deadline_s: On `time.monotonic`.
    """

    def __init__(self, deadline_s: float = math.inf) -> None:
        self._deadline_s = deadline_s

    @classmethod
    def after(cls, seconds: float) -> TimeLimit:
        """The time limit that ends in some seconds."""
        return cls(time.monotonic() + seconds)

    def check(self) -> None:
        """Raise where the time limit has passed.

        Raises:
            OutOfTime: it has passed, or `end` was called because the client has disconnected.
        """
        if time.monotonic() > self._deadline_s:
            raise OutOfTime("the request took longer than its time limit")

    def end(self) -> None:
        """Let the next `check` end the work."""
        self._deadline_s = -math.inf


NO_LIMIT: Final = TimeLimit()
"""Work without a time limit."""


class Workers:
    """A thread pool for one kind of task.

    Args:
        threads: Size of the pool; further tasks wait, and are dropped when their caller is cancelled.
        name: Shown in thread names.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], T], limit: TimeLimit | None = None) -> T:
        """Run work in a thread.

        Args:
            work: What to do.
            limit: Ended where the caller is cancelled, so that the work ends soon, too.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except asyncio.CancelledError:
            if limit is not None:
                limit.end()
            raise

    def close(self) -> None:
        """Shut the thread pool down."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def favour_the_event_loop() -> None:
    """Keep the event loop's waits for the GIL and the garbage collector short, in the whole process.

    Threads that compute release the GIL sooner, and objects that exist now are never traversed again: a collection
    of all objects, which a JSON body of many lists brings about, took 85 ms. Call it when all is loaded.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.collect()
    gc.freeze()
