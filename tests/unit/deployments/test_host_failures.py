"""What one image, one model or one client does to the others of a replica: nothing. Real networks, without Ray."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from models.adapter import ModelInput
from models.errors import NonFiniteOutput
from services.answers.wire import Item, Outcome
from services.deployments.host import ModelHost
from tests.unit.deployments.test_host import DEFAULTS, photo
from tests.unit.detector_cards import write_detector

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

FIRST, SECOND = "first", "second"
GOOD, BAD = (64, 64), (60, 60)
"""Sizes (width, height) of images that make the same network input."""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelHost]:
    """A replica of two models with one device thread."""
    folder = tmp_path_factory.mktemp("catalog")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        patch.setenv("TAPETUM_CATALOG", str(folder))
        for name in (FIRST, SECOND):
            write_detector(folder, name)
        config = {"name": "Detector", "task": "detection", "models": [FIRST, SECOND], "num_threads": 1}
        yield ModelHost({**config, "max_batch_size": 8})


def item(size: tuple[int, int], model: str = FIRST, limit_s: float = 60.0) -> Item:
    return Item(model, photo(size), DEFAULTS, time.time() + limit_s)


def codes(outcomes: Sequence[Outcome]) -> list[str | None]:
    return [outcome.failure and outcome.failure.code for outcome in outcomes]


class Device:
    """Stands between a replica and its first model: holds it, counts runs, and fails on some batches."""

    def __init__(self, host: ModelHost, patch: pytest.MonkeyPatch) -> None:
        self.adapter = host._versions.get(f"{FIRST}@7").adapter
        self.sizes: list[int] = []
        self.fails: Callable[[Sequence[ModelInput]], Exception | None] = lambda inputs: None
        self.free, self.busy = threading.Event(), threading.Event()
        self.free.set()
        self._run = self.adapter.forward
        patch.setattr(self.adapter, "forward", self.forward)

    def forward(self, inputs: Sequence[ModelInput]) -> Any:
        self.sizes.append(len(inputs))
        self.busy.set()
        assert self.free.wait(20)
        if error := self.fails(inputs):
            raise error
        return self._run(inputs)


@pytest.fixture
def device(host: ModelHost, monkeypatch: pytest.MonkeyPatch) -> Device:
    return Device(host, monkeypatch)


def has_bad(inputs: Sequence[ModelInput]) -> bool:
    return any(found.image_size == BAD for found in inputs)


async def together(host: ModelHost, device: Device, items: list[Item]) -> list[Outcome]:
    """The outcomes of images that come while the device is busy, and so share a batch."""
    device.busy.clear()
    device.free.clear()
    first = asyncio.create_task(host.predict([item(GOOD)]))
    assert await asyncio.to_thread(device.busy.wait, 10.0)
    rest = asyncio.create_task(host.predict(items))
    while len(host._batcher) < len(items):
        await asyncio.sleep(0.01)
    device.free.set()
    await first
    return await rest


async def test_image_that_fails_in_post_processing_fails_alone(host: ModelHost, monkeypatch: pytest.MonkeyPatch):
    adapter = host._versions.get(f"{FIRST}@7").adapter
    postprocess = adapter.postprocess

    def fail_on_bad(raw: Any, inputs: Sequence[ModelInput], parameters: Sequence[Any]) -> Any:
        if has_bad(inputs):
            raise ValueError("boxes must lie within the image")
        return postprocess(raw, inputs, parameters)

    monkeypatch.setattr(adapter, "postprocess", fail_on_bad)
    outcomes = await together(host, Device(host, monkeypatch), [item(GOOD), item(BAD), item(GOOD)])
    assert codes(outcomes) == [None, "internal_error", None]
    assert outcomes[0].body == outcomes[2].body
    assert outcomes[1].failure is not None
    assert outcomes[1].failure.message == "the model failed on this image"


async def test_image_whose_answer_cannot_be_written_fails_alone(host: ModelHost, monkeypatch: pytest.MonkeyPatch):
    from services.deployments import outcomes as module

    describe = module.describe_prediction

    def fail_on_bad(prediction: Any, *rest: Any) -> dict[str, Any]:
        if prediction.image_size == BAD:
            raise OverflowError
        return describe(prediction, *rest)

    monkeypatch.setattr(module, "describe_prediction", fail_on_bad)
    outcomes = await together(host, Device(host, monkeypatch), [item(BAD), item(GOOD)])
    assert codes(outcomes) == ["internal_error", None]


async def test_image_that_the_network_fails_on_fails_alone(host: ModelHost, device: Device):
    device.fails = lambda inputs: RuntimeError("illegal") if has_bad(inputs) else None
    outcomes = await together(host, device, [item(GOOD)] * 5 + [item(BAD)] + [item(GOOD)] * 2)
    assert codes(outcomes) == [None] * 5 + ["internal_error"] + [None] * 2
    assert device.sizes[1] == 8
    assert len(device.sizes) <= 1 + 7, "the batch, and two halves for each of log2(8) levels"


async def test_image_whose_numbers_are_not_finite_has_an_error_of_its_own(host: ModelHost, device: Device):
    device.fails = lambda inputs: NonFiniteOutput() if has_bad(inputs) else None
    outcomes = await together(host, device, [item(GOOD), item(BAD), item(GOOD)])
    assert codes(outcomes) == [None, "non_finite_answer", None]
    assert outcomes[1].failure is not None
    assert (outcomes[1].failure.status, outcomes[1].failure.message) == (
        500,
        "the model gave numbers that are not finite",
    )


async def test_device_out_of_memory_halves_the_batch(host: ModelHost, device: Device):
    device.fails = lambda inputs: torch.OutOfMemoryError("CUDA out of memory") if len(inputs) > 2 else None
    assert codes(await together(host, device, [item(GOOD)] * 8)) == [None] * 8
    device.sizes.clear()
    assert codes(await together(host, device, [item(GOOD)] * 8)) == [None] * 8
    assert max(device.sizes) == 2, "it is remembered"


async def test_image_that_does_not_fit_the_device_alone_says_so(host: ModelHost, device: Device):
    device.fails = lambda inputs: torch.OutOfMemoryError("CUDA out of memory") if has_bad(inputs) else None
    (outcome,) = await host.predict([item(BAD)])
    assert outcome.failure is not None
    assert "too little memory" in outcome.failure.message


async def test_image_past_its_time_is_answered_while_the_device_is_busy(host: ModelHost, device: Device):
    device.free.clear()
    busy = asyncio.create_task(host.predict([item(GOOD)]))
    assert await asyncio.to_thread(device.busy.wait, 10.0)
    started_at = time.monotonic()
    assert codes(await host.predict([item(GOOD, limit_s=0.3)])) == ["out_of_time"]
    assert time.monotonic() - started_at < 5
    assert len(host._batcher) == 0
    assert not busy.done()
    device.free.set()
    assert codes(await busy) == [None]


async def test_cancelled_call_leaves_the_pool_and_the_queue(
    host: ModelHost, device: Device, monkeypatch: pytest.MonkeyPatch
):
    decoded: list[int] = []
    decode = device.adapter.decode

    def slowly(data: bytes, **caps: int) -> Any:
        decoded.append(1)
        time.sleep(0.02)
        return decode(data, **caps)

    monkeypatch.setattr(device.adapter, "decode", slowly)
    device.free.clear()
    images = [item(GOOD) for _ in range(60)]
    call = asyncio.create_task(host.predict(images))
    assert await asyncio.to_thread(device.busy.wait, 10.0)
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert len(host._batcher) == 0
    device.free.set()
    assert codes(await host.predict([item(GOOD)])) == [None]
    assert len(decoded) < 50
    assert sum(device.sizes) < 10, "the batch that had begun, and the image afterwards"


async def test_images_of_a_slow_model_do_not_keep_those_of_a_fast_one_from_being_decoded(
    host: ModelHost, monkeypatch: pytest.MonkeyPatch
):
    slow = host._versions.get(f"{FIRST}@7").adapter
    decode, postprocess = slow.decode, slow.postprocess

    def slowly(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            time.sleep(0.3)
            return step(*arguments, **options)

        return run

    monkeypatch.setattr(slow, "decode", slowly(decode))
    monkeypatch.setattr(slow, "postprocess", slowly(postprocess))
    images = [item(GOOD) for _ in range(20)]
    waiting = asyncio.create_task(host.predict(images))
    await asyncio.sleep(0.4)
    for _ in range(3):
        assert codes(await host.predict([item(GOOD, SECOND)])) == [None]
    assert not waiting.done()
    assert codes(await waiting) == [None] * 20
