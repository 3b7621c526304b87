"""Images of a shadow run with the lowest priority, one at a time, and only where nothing else waits."""

from __future__ import annotations

import asyncio
import os
import platform
import threading

import pytest

from services.deployments.shadow_thread import LOWEST_PRIORITY, ShadowThread
from services.errors import Overloaded


async def test_result_and_exception_are_those_of_the_work():
    thread = ShadowThread(lambda: False)
    assert await thread.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    assert await thread.run(lambda: 8) == 8


async def test_image_is_dropped_while_images_of_requests_wait():
    waiting = [True]
    thread = ShadowThread(lambda: waiting[0])
    with pytest.raises(Overloaded):
        await thread.run(lambda: 7)
    waiting[0] = False
    assert await thread.run(lambda: 7) == 7


async def test_second_image_is_dropped_even_where_nobody_waits_for_the_first_any_more():
    thread, release = ShadowThread(lambda: False), threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await thread.run(release.wait)
    with pytest.raises(Overloaded):
        await thread.run(lambda: 7)
    release.set()
    assert await answered(thread) == 7


async def answered(thread: ShadowThread) -> int:
    """The answer as soon as the thread is free, which has the lowest priority: on a busy machine that takes long."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await thread.run(lambda: 7)
            except Overloaded:
                await asyncio.sleep(0.01)


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere priorities are those of processes")
async def test_work_has_the_lowest_priority_and_the_others_keep_theirs():
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = niceness()
    assert await ShadowThread(lambda: False).run(niceness) == LOWEST_PRIORITY
    assert niceness() == before
