"""Single flight: one piece of work for all who ask the same."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.serving.single_flight import SingleFlight


class Work:
    """Work that takes a while, and counts how often it is begun, ended and given up."""

    def __init__(self) -> None:
        self.begun = self.ended = self.cancelled = 0

    async def __call__(self) -> int:
        self.begun += 1
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.ended += 1
        return self.ended


async def test_those_who_ask_the_same_share_one_piece_of_work():
    flights, work = SingleFlight[int](), Work()
    assert await asyncio.gather(*(flights.run("a", work) for _ in range(5))) == [1] * 5
    assert work.begun == 1


async def test_another_key_is_other_work_and_a_finished_flight_is_over():
    flights, work = SingleFlight[int](), Work()
    await asyncio.gather(flights.run("a", work), flights.run("b", work))
    assert not flights.is_flying("a")
    await flights.run("a", work)
    assert work.begun == 3


async def test_a_caller_that_gives_up_leaves_the_others_alone():
    flights, work = SingleFlight[int](), Work()
    first, second = asyncio.create_task(flights.run("a", work)), asyncio.create_task(flights.run("a", work))
    await asyncio.sleep(0.005)
    first.cancel()
    assert await second == 1
    assert (work.begun, work.cancelled) == (1, 0)


async def test_work_that_nobody_waits_for_is_given_up():
    flights, work = SingleFlight[int](), Work()
    only = asyncio.create_task(flights.run("a", work))
    await asyncio.sleep(0.005)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    await asyncio.sleep(0)
    assert work.cancelled == 1
    assert not flights.is_flying("a")


async def test_an_error_reaches_all_who_wait():
    async def fail() -> int:
        await asyncio.sleep(0.001)
        raise LookupError("no")

    flights = SingleFlight[int]()
    results = await asyncio.gather(flights.run("a", fail), flights.run("a", fail), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError, LookupError]
