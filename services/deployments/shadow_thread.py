"""The thread in which a replica runs images of shadow versions: one at a time, with the lowest priority.

A shadow image never enters the queue of the device, so no image of a request waits behind it. It starts only while no
image of a request is in progress in this process; where one comes meanwhile and cores are scarce, the operating system
gives them to the threads of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from services.deployments.hosted_model import start_thread
from services.errors import Overloaded

R = TypeVar("R")

LOWEST_PRIORITY: Final = 19
"""Nice value, on Linux."""


class ShadowThread:
    """Runs work of shadows.

    Args:
        is_busy: Whether images of requests are in progress in this replica.
    """

    def __init__(self, is_busy: Callable[[], bool]) -> None:
        self._is_busy = is_busy
        self._running: Future[Any] | None = None
        self._thread = ThreadPoolExecutor(
            1, thread_name_prefix="shadow", initializer=start_thread, initargs=(1, LOWEST_PRIORITY)
        )

    async def run(self, work: Callable[[], R]) -> R:
        """Run the work of one image, from its decoding to its answer.

        Raises:
            Overloaded: images of requests are in progress, or another shadow runs: this image is dropped.
        """
        if self._is_busy() or (self._running is not None and not self._running.done()):
            raise Overloaded("other images are in progress, so this image of a shadow is dropped")
        running = self._thread.submit(work)
        self._running = running
        return await asyncio.wrap_future(running)
