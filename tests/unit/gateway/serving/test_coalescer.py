"""The coalescer: waiting items travel together, and each caller gets its own result."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextvars import ContextVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import Overloaded
from services.gateway.serving.coalescer import Coalescer


class Receiver:
    """Stands for a replica: doubles numbers after a while, records calls, and fails on a call that holds a 13."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.calls: list[list[int]] = []
        self.cancelled = 0

    async def send(self, items: list[int]) -> Sequence[int | BaseException]:
        self.calls.append(items)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if 13 in items:
            raise ConnectionError("lost")
        return [LookupError(str(item)) if item < 0 else item * 2 for item in items]


def coalescer(receiver: Receiver, **options: float) -> Coalescer[int, int]:
    return Coalescer(receiver.send, **{"max_items": 8, "receivers": 1, "coalesce_wait_s": 10.0, **options})  # type: ignore[arg-type]


async def test_what_is_ready_in_one_turn_of_the_loop_travels_together():
    receiver = Receiver()
    calls = coalescer(receiver)
    assert await asyncio.gather(*(calls.submit(n) for n in range(5))) == [0, 2, 4, 6, 8]
    assert receiver.calls == [[0, 1, 2, 3, 4]]


async def test_what_comes_while_a_call_is_out_goes_with_the_next():
    receiver = Receiver(takes_s=0.02)
    calls = coalescer(receiver)
    first = asyncio.create_task(calls.submit(1))
    await asyncio.sleep(0.005)
    rest = [asyncio.create_task(calls.submit(n)) for n in (2, 3)]
    assert await asyncio.gather(first, *rest) == [2, 4, 6]
    assert receiver.calls == [[1], [2, 3]]


async def test_busy_receiver_gets_a_second_call_after_the_linger_and_no_third():
    receiver = Receiver(takes_s=0.2)
    calls = coalescer(receiver, coalesce_wait_s=0.02)
    tasks = [asyncio.create_task(calls.submit(0))]
    await asyncio.sleep(0.005)
    tasks += [asyncio.create_task(calls.submit(n)) for n in (1, 2)]
    await asyncio.sleep(0.005)
    assert receiver.calls == [[0]], "they wait for company"
    await asyncio.sleep(0.03)
    tasks.append(asyncio.create_task(calls.submit(3)))
    await asyncio.sleep(0.05)
    assert receiver.calls == [[0], [1, 2]]
    await asyncio.gather(*tasks)
    assert receiver.calls == [[0], [1, 2], [3]]


async def test_idle_receivers_get_their_share_at_once():
    receiver = Receiver(takes_s=0.05)
    calls = coalescer(receiver, receivers=3)
    await asyncio.gather(*(calls.submit(n) for n in range(5)))
    assert receiver.calls == [[0, 1], [2, 3], [4]]


async def test_full_call_does_not_linger():
    receiver = Receiver(takes_s=0.05)
    calls = coalescer(receiver, max_items=3)
    tasks = [asyncio.create_task(calls.submit(n)) for n in range(8)]
    await asyncio.sleep(0.005)
    assert receiver.calls == [[0, 1, 2], [3, 4, 5]]
    await asyncio.gather(*tasks)
    assert receiver.calls == [[0, 1, 2], [3, 4, 5], [6, 7]]


async def test_call_is_bounded_by_weight_and_a_heavier_item_goes_alone():
    receiver = Receiver()
    calls = Coalescer(
        receiver.send, max_items=8, receivers=1, coalesce_wait_s=0.0, weight=lambda item: item, max_weight=5
    )
    await asyncio.gather(*(calls.submit(n) for n in (2, 3, 9, 1)))
    assert receiver.calls == [[2, 3], [9], [1]]


async def test_error_in_an_items_place_is_its_own_alone():
    calls = coalescer(Receiver())
    results = await asyncio.gather(calls.submit(1), calls.submit(-1), calls.submit(2), return_exceptions=True)
    assert results[0] == 2 and results[2] == 4
    assert isinstance(results[1], LookupError)


async def test_lost_call_fails_its_items_and_no_others():
    receiver = Receiver()
    calls = coalescer(receiver, max_items=2)
    results = await asyncio.gather(*(calls.submit(n) for n in (13, 1, 2, 3)), return_exceptions=True)
    assert [isinstance(result, ConnectionError) for result in results] == [True, True, False, False]


async def test_cancelled_caller_takes_its_item_out():
    receiver = Receiver(takes_s=0.02)
    calls = coalescer(receiver)
    first = asyncio.create_task(calls.submit(1))
    await asyncio.sleep(0.005)
    gone, stays = asyncio.create_task(calls.submit(2)), asyncio.create_task(calls.submit(3))
    await asyncio.sleep(0)
    gone.cancel()
    assert await asyncio.gather(first, stays) == [2, 6]
    assert receiver.calls == [[1], [3]]


async def test_item_of_a_cancelled_caller_does_not_wait_for_the_next_call_to_leave():
    calls = coalescer(Receiver(takes_s=0.2))
    first = asyncio.create_task(calls.submit(1))
    await asyncio.sleep(0.005)
    gone = asyncio.create_task(calls.submit(2))
    await asyncio.sleep(0.005)
    gone.cancel()
    await asyncio.sleep(0)
    assert len(calls) == 0
    await first


async def test_call_belongs_to_none_of_its_requests():
    """Ray Serve finds the calls of a request by a context variable, and cancels them when its client disconnects."""
    request: ContextVar[str] = ContextVar("request", default="")
    seen: list[str] = []

    async def send(items: list[int]) -> list[int]:
        seen.append(request.get())
        return items

    calls: Coalescer[int, int] = Coalescer(send, max_items=2, receivers=1, coalesce_wait_s=0)
    request.set("first")
    await calls.submit(1)
    assert seen == [""]


async def test_call_is_cancelled_when_all_its_callers_are_gone():
    receiver = Receiver(takes_s=5)
    calls = coalescer(receiver)
    callers = [asyncio.create_task(calls.submit(n)) for n in (1, 2)]
    await asyncio.sleep(0.005)
    callers[0].cancel()
    await asyncio.sleep(0.005)
    assert receiver.cancelled == 0
    callers[1].cancel()
    await asyncio.sleep(0.005)
    assert receiver.cancelled == 1
    receiver.takes_s = 0.0
    assert await calls.submit(4) == 8, "its place is free again"


async def test_more_than_may_wait_are_refused():
    calls = coalescer(Receiver(takes_s=0.01), max_waiting=2)
    tasks = [asyncio.create_task(calls.submit(n)) for n in range(3)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[:2] == [0, 2]
    assert isinstance(results[2], Overloaded)


async def test_wrong_number_of_results_is_an_error():
    async def send(_items: list[int]) -> list[int]:
        return []

    calls: Coalescer[int, int] = Coalescer(send, max_items=2, receivers=1, coalesce_wait_s=0)
    with pytest.raises(RuntimeError, match="1 items went out and 0 results came back"):
        await calls.submit(1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-3, 20), max_size=60), st.integers(0, 2**32))
def test_every_caller_gets_its_own_result(items: list[int], seed: int):
    chance = random.Random(seed)

    async def caller(calls: Coalescer[int, int], item: int) -> None:
        await asyncio.sleep(chance.random() * 0.01)
        task = asyncio.create_task(calls.submit(item))
        if chance.random() < 0.2:
            await asyncio.sleep(chance.random() * 0.003)
            task.cancel()
        try:
            assert await task == item * 2
        except LookupError as error:
            assert str(error) == str(item)
        except ConnectionError:
            assert any(13 in call and item in call for call in receiver.calls)
        except asyncio.CancelledError:
            assert task.cancelled()

    async def main() -> None:
        calls = coalescer(receiver, coalesce_wait_s=0.001, max_items=5)
        await asyncio.gather(*(caller(calls, item) for item in items))
        assert len(calls) == 0

    receiver = Receiver(takes_s=0.002)
    asyncio.run(main())
    assert all(1 <= len(call) <= 5 for call in receiver.calls)
