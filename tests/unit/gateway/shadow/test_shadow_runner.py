"""A shadow runs beside the requests: bounded, one image at a time, and whatever becomes of it harms nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import orjson
import pytest
from prometheus_client import REGISTRY

from services.answers.wire import Failure, Item, Outcome
from services.gateway.accuracy.feedback_store import MemoryStore
from services.gateway.serving.model_calls import ModelCalls
from services.gateway.serving.served_model import ServedModel
from services.gateway.shadow import shadow_runner
from services.gateway.shadow.disagreements import Disagreements
from services.gateway.shadow.shadow_image import ShadowImage
from services.gateway.shadow.shadow_runner import MOST_WAITING, ShadowRunner
from tests.unit.gateway_fakes import FakeBackend, identified


def version(label: str) -> ServedModel:
    entry = {**FakeBackend.entry, "name": "net", "version": label, "class_names": ["cat", "dog"]}
    return ServedModel.of(identified(entry), "Fake", cast(ModelCalls, None))


ONE, TWO = version("1"), version("2")


def answer(name: str) -> bytes:
    rows = [{"class_id": 0, "class_name": name, "probability": 0.9}]
    return orjson.dumps({"image": {"height": 2, "width": 3}, "predictions": rows})


def image(request_id: str = "r", said: str = "cat", data: bytes = b"photo") -> ShadowImage:
    return ShadowImage("tenant", request_id, 0, data, ONE, answer(said), TWO, lambda _: {"top_k": 1})


async def says_cat(_: ServedModel, _item: Item) -> Outcome:
    return Outcome(answer("cat"), None, {})


@asynccontextmanager
async def running(
    send: Callable[[ServedModel, Item], Awaitable[Outcome]] = says_cat,
) -> AsyncIterator[tuple[ShadowRunner, Disagreements]]:
    disagreements = Disagreements(MemoryStore(), 3600)
    runner = ShadowRunner(send, disagreements)
    task = asyncio.create_task(runner.run())
    try:
        yield runner, disagreements
    finally:
        assert not task.done(), "the task outlives every failure"
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        runner.close()


def counted(outcome: str) -> float:
    labels = {"model": "net", "version": "2", "outcome": outcome}
    return REGISTRY.get_sample_value("tapetum_shadow_images_total", labels) or 0.0


@asynccontextmanager
async def one_more(outcome: str, count: int = 1) -> AsyncIterator[None]:
    """Wait for the body's images to be counted."""
    before = counted(outcome)
    yield
    async with asyncio.timeout(5):
        while counted(outcome) < before + count:
            await asyncio.sleep(0.005)
    assert counted(outcome) == before + count


async def test_disagreement_is_listed_by_request_id_and_agreement_is_not():
    async with running() as (runner, disagreements):
        async with one_more("ok", 2):
            runner.offer(image("same", "cat"))
            runner.offer(image("other", "dog"))
        (found,) = await disagreements.list("net", None)
    assert (found.request_id, found.index, found.primary, found.shadow, found.figures) == (
        "other",
        0,
        "1",
        "2",
        {"top1": 0.0},
    )


async def test_agreement_is_a_metric_of_the_shadow_version():
    labels = {"model": "net", "version": "2", "metric": "top1"}
    names = ("tapetum_shadow_agreement_count", "tapetum_shadow_agreement_sum")
    before = [REGISTRY.get_sample_value(name, labels) or 0.0 for name in names]
    async with running() as (runner, _), one_more("ok", 3):
        for said in ("cat", "dog", "cat"):
            runner.offer(image(said=said))
    after = [REGISTRY.get_sample_value(name, labels) or 0.0 for name in names]
    assert [now - then for now, then in zip(after, before, strict=True)] == [3, 2]


async def test_queue_is_bounded_and_offering_never_waits():
    release = asyncio.Event()

    async def stuck(_: ServedModel, _item: Item) -> Outcome:
        await release.wait()
        return Outcome(answer("cat"), None, {})

    async with running(stuck) as (runner, _):
        async with one_more("dropped", 84):
            started_at = time.perf_counter()
            for _number in range(100):
                runner.offer(image())
            assert time.perf_counter() - started_at < 0.1
        async with one_more("ok", MOST_WAITING):
            release.set()


async def test_bytes_of_the_queue_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shadow_runner, "MOST_WAITING_BYTES", 1000)
    async with running() as (runner, _), one_more("dropped"), one_more("ok", 2):
        runner.offer(image(data=b"x" * 5000))
        runner.offer(image(data=b"x" * 5000))
        await asyncio.sleep(0.1)
        runner.offer(image(data=b"x" * 10))


async def test_one_image_at_a_time():
    running_now = most = 0

    async def slow(_: ServedModel, _item: Item) -> Outcome:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await asyncio.sleep(0.01)
        running_now -= 1
        return Outcome(answer("cat"), None, {})

    async with running(slow) as (runner, _), one_more("ok", 5):
        for _number in range(5):
            runner.offer(image())
    assert most == 1


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (Failure(503, "overloaded", "others wait", {}), "dropped"),
        (Failure(500, "internal_error", "failed", {}), "internal_error"),
        (Failure(400, "broken_image", "cut off", {}), "broken_image"),
    ],
)
async def test_failure_of_a_shadow_is_only_counted(failure: Failure, outcome: str):
    async def fails(_: ServedModel, _item: Item) -> Outcome:
        return Outcome(None, failure, {})

    async with running(fails) as (runner, disagreements):
        async with one_more(outcome):
            runner.offer(image())
        assert await disagreements.list("net", None) == []


async def test_unexpected_exceptions_and_answers_are_only_counted():
    async def nonsense(_: ServedModel, item: Item) -> Outcome:
        if item.image == b"raise":
            raise ZeroDivisionError
        return Outcome(b"[]", None, {})

    async with running(nonsense) as (runner, _), one_more("internal_error", 2):
        runner.offer(image(data=b"raise"))
        runner.offer(image())


async def test_shadow_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shadow_runner, "IMAGE_S", 0.05)

    async def never(_: ServedModel, _item: Item) -> Outcome:
        await asyncio.sleep(60)
        raise AssertionError

    async with running(never) as (runner, _), one_more("out_of_time"):
        runner.offer(image())


async def test_client_sees_its_own_disagreements_only():
    async with running() as (runner, disagreements):
        async with one_more("ok"):
            runner.offer(image("mine", "dog"))
        assert [one.request_id for one in await disagreements.list("net", "tenant")] == ["mine"]
        assert await disagreements.list("net", "somebody") == []
        assert await disagreements.list("other-net", None) == []


async def test_disagreements_are_bounded_in_number_and_time():
    store = MemoryStore()
    disagreements = Disagreements(store, ttl_s=100)
    now_s = time.time()
    found: Any = None
    for number in range(600):
        found = shadow_runner.Disagreement(
            request_id=str(number), index=0, tenant="", at_s=now_s, primary="1", shadow="2", figures={"top1": 0.0}
        )
        await disagreements.add("net", found)
    listed = await disagreements.list("net", None)
    assert (len(listed), listed[0].request_id) == (500, "599")
    await disagreements.add("net", found.model_copy(update={"request_id": "old", "at_s": now_s - 101}))
    assert "old" not in {one.request_id for one in await disagreements.list("net", None)}
