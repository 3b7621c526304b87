"""Replicas by load: `tapetum serve` with a classifier that scales from one replica to two and back."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
from running import RunningStack, running_stack, write_config

from loadtests.photos import STAMP_BYTES, split_for_stamp

pytestmark = pytest.mark.integration

CALLERS = 16
SCALE_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def scaling_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A second replica is wanted at more than one call in progress on average, after a second or two."""
    scaling = {"max_replicas": 2, "target_ongoing_requests": 0.75, "upscale_delay_s": 1, "downscale_delay_s": 2}
    config = write_config(tmp_path_factory.mktemp("scaling"), models=("efficientnet-lite0",), autoscaling=scaling)
    often = {f"RAY_SERVE_{side}_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5" for side in ("HANDLE", "REPLICA")}
    with running_stack(config, **often) as made:
        yield made


async def test_load_makes_a_second_replica_and_quiet_takes_it_away_without_a_lost_request(
    scaling_stack: RunningStack, photos: dict[str, bytes]
):
    assert count_classifiers(scaling_stack) == 1
    before, after = split_for_stamp(photos["coffee"])
    stamps = itertools.count()
    wrong: list[str] = []
    answered = 0

    async def call(client: httpx.AsyncClient, pause_s: float) -> None:
        nonlocal answered
        while True:
            image = before + next(stamps).to_bytes(STAMP_BYTES, "big") + after
            response = await client.post("/v1/classify", content=image, headers={"content-type": "image/jpeg"})
            if response.status_code != 200:
                wrong.append(f"{response.status_code} {response.text}")
            answered += 1
            await asyncio.sleep(pause_s)

    async with httpx.AsyncClient(base_url=scaling_stack.url, timeout=60) as client:
        busy = [asyncio.create_task(call(client, 0.0)) for _ in range(CALLERS)]
        await until(2, scaling_stack)
        await asyncio.sleep(2)
        await end(busy)
        quiet = [asyncio.create_task(call(client, 0.2))]  # which must survive the second one's end
        await until(1, scaling_stack)
        await asyncio.sleep(2)
        await end(quiet)
    assert answered > 0
    assert not wrong, wrong[:5]


async def until(count: int, stack: RunningStack) -> None:
    started_at = time.monotonic()
    while await asyncio.to_thread(count_classifiers, stack) != count:
        assert time.monotonic() - started_at < SCALE_TIMEOUT_S, f"not {count} classifiers:\n{stack.output[-2000:]}"
        await asyncio.sleep(0.25)
    print(f"{count} classifiers after {time.monotonic() - started_at:.1f} s")


async def end(calls: list[asyncio.Task[None]]) -> None:
    """Stop callers; one that has raised raises here."""
    for call in calls:
        call.cancel()
    for ended in await asyncio.gather(*calls, return_exceptions=True):
        if not isinstance(ended, asyncio.CancelledError):
            raise ended or AssertionError("a caller has stopped by itself")


def count_classifiers(stack: RunningStack) -> int:
    """Living replicas of the classifier."""
    return sum(is_classifier(process) for process in stack.processes())


def is_classifier(process: psutil.Process) -> bool:
    try:
        title = " ".join(process.cmdline())
        return "ServeReplica:tapetum:Classifier" in title and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
