"""The greedy batcher: batches fill, callers get their own answer, and failures stay where they belong."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.deployments.batcher import Batcher
from services.errors import NotReady, OutOfTime, Overloaded


class Device:
    """Stands for a device: squares numbers, records batches, can be held, and fails on negative numbers."""

    def __init__(self) -> None:
        self.batches: list[tuple[Hashable, list[int]]] = []
        self.free = threading.Event()
        self.free.set()
        self.busy = threading.Event()

    def run(self, key: Hashable, items: Sequence[int]) -> list[int]:
        self.busy.set()
        self.free.wait()
        self.batches.append((key, list(items)))
        if min(items) < 0:
            raise ValueError("negative")
        return [item * item for item in items]


def finish(_key: Hashable, _items: Sequence[int], output: list[int]) -> list[int]:
    return output


@contextmanager
def batcher(device: Device, **options: float) -> Iterator[Batcher[int, list[int], int]]:
    with ThreadPoolExecutor(2) as pool:
        made = Batcher(device.run, finish, pool, **{"max_batch_size": 4, **options})  # type: ignore[arg-type]
        try:
            yield made
        finally:
            device.free.set()
            made.close()


@contextmanager
def held(device: Device, made: Batcher[int, list[int], int]) -> Iterator[None]:
    """The device is busy with a first batch while the body runs."""
    device.busy.clear()
    device.free.clear()
    first = made.submit(0, "first")
    device.busy.wait()
    yield
    device.free.set()
    first.result(5)


def test_lone_item_runs_at_once():
    device = Device()
    with batcher(device) as made:
        assert made.submit(3, "a").result(5).result == 9
    assert device.batches == [("a", [3])]


def test_items_that_come_while_the_device_is_busy_share_the_next_batch():
    device = Device()
    with batcher(device) as made:
        with held(device, made):
            futures = [made.submit(n, "a") for n in range(1, 7)]
        assert [future.result(5).result for future in futures] == [1, 4, 9, 16, 25, 36]
    assert device.batches[1:] == [("a", [1, 2, 3, 4]), ("a", [5, 6])]


def test_items_of_different_keys_never_share_a_batch_and_the_oldest_key_goes_first():
    device = Device()
    with batcher(device) as made:
        with held(device, made):
            futures = [made.submit(n, key) for n, key in enumerate("baab", 1)]
        for future in futures:
            future.result(5)
    assert device.batches[1:] == [("b", [1, 4]), ("a", [2, 3])]


def test_batch_is_bounded_by_cost_and_a_dearer_item_goes_alone():
    device = Device()
    with batcher(device, max_batch_cost=4, cost=lambda item: item) as made:  # type: ignore[arg-type]
        with held(device, made):
            futures = [made.submit(n, "a") for n in (1, 2, 9, 3, 1)]
        for future in futures:
            future.result(5)
    assert [items for _, items in device.batches[1:]] == [[1, 2], [9], [3, 1]]


def test_batch_of_cheap_items_is_bounded_by_their_number():
    device = Device()
    with batcher(device, max_batch_size=2, max_batch_cost=100, cost=lambda item: item) as made:  # type: ignore[arg-type]
        with held(device, made):
            futures = [made.submit(n, "a") for n in (1, 2, 9)]
        for future in futures:
            future.result(5)
    assert [items for _, items in device.batches[1:]] == [[1, 2], [9]]


def test_batch_with_no_room_for_another_does_not_wait():
    device = Device()
    with batcher(device, max_batch_cost=5, cost=lambda item: item, batch_wait_timeout_s=5) as made:  # type: ignore[arg-type]
        futures = [made.submit(n, "a") for n in (2, 2)]
        assert all(future.result(2).queue_s < 1 for future in futures)


def test_failure_reaches_its_batch_and_the_device_thread_lives_on():
    device = Device()
    with batcher(device) as made:
        with held(device, made):
            bad, also = made.submit(-1, "a"), made.submit(1, "a")
            good = made.submit(2, "b")
        with pytest.raises(ValueError, match="negative"):
            bad.result(5)
        with pytest.raises(ValueError, match="negative"):
            also.result(5)
        assert good.result(5).result == 4
        assert made.is_alive()


def test_cancelled_item_leaves_the_queue():
    device = Device()
    with batcher(device) as made:
        with held(device, made):
            gone, stays = made.submit(5, "a"), made.submit(6, "a")
            assert gone.cancel()
            assert len(made) == 1
        assert stays.result(5).result == 36
        with pytest.raises(CancelledError):
            gone.result(0)
    assert device.batches[1:] == [("a", [6])]


def test_expired_item_is_not_run():
    device = Device()
    with batcher(device) as made:
        with held(device, made):
            late = made.submit(5, "a", time.monotonic() - 1)
        with pytest.raises(OutOfTime):
            late.result(5)
    assert device.batches[1:] == []


def test_full_queue_refuses_one_more():
    device = Device()
    with batcher(device, max_queue_items=2) as made, held(device, made):
        made.submit(1, "a")
        made.submit(2, "b")
        with pytest.raises(Overloaded):
            made.submit(3, "a")


def test_queue_is_bounded_by_cost_and_a_lone_item_always_waits():
    device = Device()
    with batcher(device, max_queue_cost=10, cost=lambda item: item) as made, held(device, made):  # type: ignore[arg-type]
        huge = made.submit(99, "a")
        with pytest.raises(Overloaded):
            made.submit(1, "a")
        assert huge.cancel()
        futures = [made.submit(item, "b") for item in (4, 6)]
        with pytest.raises(Overloaded):
            made.submit(1, "b")
    assert [future.result(5).result for future in futures] == [16, 36]


def test_close_answers_what_is_queued_and_takes_nothing_more():
    device = Device()
    with batcher(device) as made:
        with held(device, made):
            waiting = made.submit(7, "a")
        made.close()
        assert waiting.result(5).result == 49
        with pytest.raises(NotReady):
            made.submit(1, "a")


def test_waits_for_company_no_longer_than_asked():
    device = Device()
    with batcher(device, batch_wait_timeout_s=0.05) as made:
        queued = made.submit(2, "a").result(5)
        assert 0.04 <= queued.queue_s < 1.0
        futures = [made.submit(n, "a") for n in (1, 2, 3, 4)]
        assert all(future.result(5).queue_s < 0.04 for future in futures), "a full batch does not wait"


def test_streams_run_batches_side_by_side():
    both = threading.Barrier(2, timeout=5)

    def run(_key: Hashable, items: Sequence[int]) -> list[int]:
        both.wait()
        return list(items)

    with ThreadPoolExecutor(1) as pool:
        made = Batcher(run, finish, pool, max_batch_size=1, streams=2)
        futures = [made.submit(n, "a") for n in (1, 2)]
        assert [future.result(5).result for future in futures] == [1, 2]
        made.close()
        assert not made.is_alive()


def test_wrong_number_of_results_is_an_error_for_all():
    with ThreadPoolExecutor(1) as pool:
        made = Batcher(lambda _key, items: items, lambda *_: [1, 2], pool, max_batch_size=1)
        with pytest.raises(RuntimeError, match="1 items went in and 2 results came out"):
            made.submit(1, "a").result(5)
        made.close()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-2, 50), st.sampled_from("abc"), st.sampled_from(["wait", "cancel", "expire"]))),
    st.integers(0, 2**32),
)
def test_every_caller_gets_its_own_answer_or_its_own_failure(calls: list[tuple[int, str, str]], seed: int):
    device, chance = Device(), random.Random(seed)
    with batcher(device, max_batch_size=3) as made:
        futures = []
        for number, key, fate in calls:
            deadline = time.monotonic() - 1 if fate == "expire" else float("inf")
            futures.append(made.submit(number, key, deadline))
            if fate == "cancel":
                futures[-1].cancel()
            if chance.random() < 0.2:
                time.sleep(0.0005)
        for (number, _, fate), future in zip(calls, futures, strict=True):
            try:
                assert future.result(5).result == number * number
                assert fate != "expire"
            except CancelledError:
                assert fate == "cancel"
            except OutOfTime:
                assert fate == "expire"
            except ValueError:
                assert any(number in items and min(items) < 0 for _, items in device.batches)
        assert len(made) == 0
    assert all(len(items) <= 3 for _, items in device.batches)
