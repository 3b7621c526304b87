"""The estimated wait of a model: what is refused, and that what is admitted is answered in time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from services.answers.wire import Item, Outcome
from services.errors import OutOfTime, Overloaded, ServiceError
from services.gateway.serving.model_calls import ModelCalls
from services.gateway.serving.queue_wait import QueueWait
from services.gateway.serving.registry import calls_to
from services.model_deployment import ModelDeployment
from services.replica_scale import GatewayScale
from tests.unit.virtual_time import run_virtually

pytestmark = pytest.mark.slow

MODULE = "services.gateway.serving.model_calls"


def test_nothing_is_expected_before_an_image_was_answered():
    assert QueueWait(parallel=8).latency_s(1000) == 0.0


def test_latency_grows_with_the_images_in_flight_by_littles_law():
    wait = QueueWait(parallel=4)
    wait.see(10, 2.0, 0.5, 0.0)
    assert wait.latency_s(20) == pytest.approx(4.0)
    assert wait.latency_s(5) == pytest.approx(1.0)
    assert wait.service_s == pytest.approx(0.5)


def test_images_that_fit_a_batch_are_expected_to_take_as_long_as_one():
    wait = QueueWait(parallel=8)
    wait.see(1, 0.1, 0.1, 0.0)
    assert wait.latency_s(8) == pytest.approx(0.1)
    assert wait.latency_s(16) == pytest.approx(0.2)


def test_what_was_seen_long_ago_weighs_little():
    wait = QueueWait(parallel=1)
    wait.see(1, 9.0, 9.0, 0.0)
    wait.see(1, 1.0, 1.0, 20.0)
    assert wait.latency_s(1) == pytest.approx(1.0, abs=0.01)


@dataclass
class Replica:
    """Stands for a replica with one device: images wait in order, run in batches, and are dropped past their time."""

    batch_s: float = 0.1
    image_s: float = 0.05
    max_batch_size: int = 4
    device: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def capacity(self) -> float:
        """Images a second in full batches."""
        return self.max_batch_size / (self.batch_s + self.max_batch_size * self.image_s)

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        batches = [items[n : n + self.max_batch_size] for n in range(0, len(items), self.max_batch_size)]
        return [outcome for batch in batches for outcome in await self._run(batch)]

    async def describe(self) -> list[dict[str, object]]:
        return []

    async def _run(self, batch: list[Item]) -> list[Outcome | ServiceError]:
        async with self.device:
            now_s = asyncio.get_running_loop().time()
            live = [item for item in batch if item.deadline_s >= now_s]
            took_s = self.batch_s + self.image_s * len(live) if live else 0.0
            await asyncio.sleep(took_s)
        answer = Outcome(b"{}", None, {"forward": took_s * 1e3})
        return [answer if item in live else OutOfTime("late") for item in batch]


def calls_of(replica: Replica, max_wait_s: float) -> ModelCalls:
    config = ModelDeployment.model_construct(name="Fake", max_batch_size=replica.max_batch_size)
    return calls_to(replica, GatewayScale(), config, max_wait_s)


@dataclass
class Tally:
    """What became of the images."""

    answered: int = 0
    late: int = 0
    refused: int = 0
    retry_after_s: list[float] = field(default_factory=list[float])


async def send(calls: ModelCalls, tally: Tally, limit_s: float) -> None:
    """One image of a client that waits `limit_s`."""
    deadline_s = asyncio.get_running_loop().time() + limit_s
    try:
        async with asyncio.timeout_at(deadline_s):
            await calls.submit(Item("m", b"", {}, deadline_s))
        tally.answered += 1
    except Overloaded as error:
        tally.refused += 1
        tally.retry_after_s.append(error.retry_after_s or 0.0)
    except (TimeoutError, OutOfTime):
        tally.late += 1


async def offer(replica: Replica, load: float, for_s: float, max_wait_s: float, limit_s: float) -> Tally:
    """Images that come at random (Poisson), at `load` times what the replica can do."""
    calls, tally, chance = calls_of(replica, max_wait_s), Tally(), random.Random(1)
    async with asyncio.TaskGroup() as group:
        while asyncio.get_running_loop().time() < for_s:
            group.create_task(send(calls, tally, limit_s))
            await asyncio.sleep(chance.expovariate(load * replica.capacity))
    assert len(calls) == 0
    return tally


@pytest.mark.parametrize(("max_wait_s", "limit_s"), [(5.0, 30.0), (5.0, 3.0), (60.0, 30.0)])
@pytest.mark.parametrize("image_s", [0.01, 0.1])
def test_at_twice_the_rate_what_is_admitted_is_answered_in_time(
    max_wait_s: float, limit_s: float, image_s: float, monkeypatch: pytest.MonkeyPatch
):
    replica = Replica(batch_s=image_s, image_s=image_s)
    for_s = 2000 / replica.capacity
    tally = run_virtually(offer(replica, 2.0, for_s, max_wait_s, limit_s), monkeypatch, MODULE)
    assert tally.late <= 0.01 * (tally.answered + tally.late)
    assert tally.answered >= 0.9 * replica.capacity * for_s
    assert tally.refused > 0


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_nothing_is_refused_below_the_rate(load: float, monkeypatch: pytest.MonkeyPatch):
    tally = run_virtually(offer(Replica(), load, 100.0, 5.0, 30.0), monkeypatch, MODULE)
    assert (tally.refused, tally.late) == (0, 0)


def test_retry_after_is_when_the_images_in_flight_are_done(monkeypatch: pytest.MonkeyPatch):
    async def main() -> list[float]:
        replica, tally = Replica(), Tally()
        calls = calls_of(replica, 2.0)
        async with asyncio.TaskGroup() as group:
            for _ in range(60):
                group.create_task(send(calls, tally, 30.0))
            await asyncio.sleep(2.0)
            await send(calls, tally, 30.0)
            refused_at = asyncio.get_running_loop().time()
        return [*tally.retry_after_s, asyncio.get_running_loop().time() - refused_at]

    told_s, took_s = run_virtually(main(), monkeypatch, MODULE)
    assert told_s == pytest.approx(took_s, rel=0.3)


def test_images_of_one_request_are_not_refused_for_each_other(monkeypatch: pytest.MonkeyPatch):
    async def main() -> tuple[Tally, Tally]:
        calls, together, apart = calls_of(Replica(image_s=1.0), 5.0), Tally(), Tally()
        await send(calls, together, 60.0)
        request = calls.of_request()
        await asyncio.gather(*(send(request, together, 60.0) for _ in range(24)))  # type: ignore[arg-type]
        await asyncio.gather(*(send(calls, apart, 60.0) for _ in range(24)))
        return together, apart

    together, apart = run_virtually(main(), monkeypatch, MODULE)
    assert (together.answered, together.refused) == (25, 0)
    assert apart.refused > 0


def test_images_that_end_unanswered_count_as_slow(monkeypatch: pytest.MonkeyPatch):
    async def main() -> Tally:
        calls, tally = calls_of(Replica(image_s=100.0), 5.0), Tally()
        await asyncio.gather(*(send(calls, tally, 10.0) for _ in range(20)))
        await asyncio.gather(*(send(calls, tally, 10.0) for _ in range(20)))
        return tally

    tally = run_virtually(main(), monkeypatch, MODULE)
    assert tally.late < 30
    assert tally.refused > 10
