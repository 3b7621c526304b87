"""The greedy batcher: batches fill, callers get their own answer, and failures stay where they belong."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.deployments.batcher import Batcher, OutOfDeviceMemory
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
        made = Batcher(device.run, finish, lambda _: pool, **{"max_batch_size": 4, **options})  # type: ignore[arg-type]
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


def test_item_that_fails_fails_alone_and_the_device_thread_lives_on():
    device = Device()
    with batcher(device, max_batch_size=8) as made:
        with held(device, made):
            futures = [made.submit(n, "a") for n in (1, 2, -1, 4, 5, 6, 7, 8)]
        with pytest.raises(ValueError, match="negative"):
            futures.pop(2).result(5)
        assert [future.result(5).result for future in futures] == [1, 4, 16, 25, 36, 49, 64]
        assert made.is_alive()
    runs = [items for _, items in device.batches[1:]]
    assert max(sum(n in items for items in runs) for n in (1, 2, -1, 4, 5)) == 4, "once, and log2(8) more"
    assert [5, 6, 7, 8] in runs, "the half that is fine is run as one"


def test_device_that_is_out_of_memory_gets_smaller_batches_for_a_while(monkeypatch: pytest.MonkeyPatch):
    class Small(Device):
        def run(self, key: Hashable, items: Sequence[int]) -> list[int]:
            output = super().run(key, items)
            if len(items) > 2:
                raise OutOfDeviceMemory("too little")
            return output

    device = Small()
    with batcher(device, max_batch_size=8) as made:
        for _ in range(2):
            with held(device, made):
                futures = [made.submit(n, "a") for n in range(8)]
            assert [future.result(5).result for future in futures] == [n * n for n in range(8)]
        sizes = [len(items) for key, items in device.batches if key == "a"]
        assert sizes == [8, 4, 2, 2, 4, 2, 2, 2, 2, 2, 2]
        monkeypatch.setattr("services.deployments.batcher.time.monotonic", lambda: time.perf_counter() + 1e6)
        device.batches.clear()
        with held(device, made):
            futures = [made.submit(n, "a") for n in range(8)]
        assert [future.result(5).result for future in futures] == [n * n for n in range(8)]
    assert max(len(items) for _, items in device.batches) == 8, "tried again later"


def test_users_share_the_device_by_time_and_not_by_turns():
    """A batch of the slow one takes as long as ten of the fast one."""

    class TwoSpeeds(Device):
        def run(self, key: Hashable, items: Sequence[int]) -> list[int]:
            time.sleep(0.02 if key == "slow" else 0.002)
            return super().run(key, items)

    device = TwoSpeeds()
    with batcher(device, max_batch_size=1) as made:
        with held(device, made):
            slow = [made.submit(n, "slow") for n in range(20)]
            fast = [made.submit(n, "fast") for n in range(20)]
        for future in fast:
            future.result(5)
        done = sum(future.done() for future in slow)
        assert done <= 6
        for future in slow:
            future.result(5)


def test_full_batch_does_not_wait_for_the_company_of_an_older_item_of_another_key():
    device = Device()
    with batcher(device, max_batch_size=2, batch_wait_timeout_s=5.0) as made:
        lone = made.submit(1, "a")
        full = [made.submit(n, "b") for n in (2, 3)]
        assert [future.result(2).result for future in full] == [4, 9]
        assert not lone.done()
        made.close()
        assert lone.result(2).result == 1


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
        made = Batcher(run, finish, lambda _: pool, max_batch_size=1, streams=2)
        futures = [made.submit(n, "a") for n in (1, 2)]
        assert [future.result(5).result for future in futures] == [1, 2]
        made.close()
        assert not made.is_alive()


def test_wrong_number_of_results_is_an_error_for_all():
    with ThreadPoolExecutor(1) as pool:
        made = Batcher(lambda _key, items: items, lambda *_: [1, 2], lambda _: pool, max_batch_size=1)
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
                assert number < 0
        assert len(made) == 0
    assert all(len(items) <= 3 for _, items in device.batches)


def test_batches_are_short_while_another_user_has_had_the_device():
    """Forty milliseconds an image: two make a turn of a tenth of a second, eight a batch."""

    class Slow(Device):
        def run(self, key: Hashable, items: Sequence[int]) -> list[int]:
            time.sleep(0.04 * len(items) if key == "slow" else 0.001)
            return super().run(key, items)

    device = Slow()
    with batcher(device, max_batch_size=8) as made:
        for count, other in ((2, False), (8, False), (16, True)):
            device.batches.clear()
            with held(device, made) if other else nullcontext():
                futures = [made.submit(n, "slow") for n in range(count)]
            for future in futures:
                future.result(5)
    assert max(len(items) for key, items in device.batches if key == "slow") <= 3
