"""Requests are counted by the version that answered them, for the guards of a rollout."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from services.gateway.serving.open_request import OpenRequest
from services.gateway.serving.traffic_log import TrafficLog
from services.rollout.traffic import Traffic
from services.rollout.traffic_store import MemoryTrafficStore, TrafficStoreFailed


def ended(version: str = "1", *, failed: bool = False, cached: bool = False, outcome: str = "ok") -> OpenRequest:
    return OpenRequest(model="net", version=version, failed=failed, cached=cached, outcome=outcome)


async def counts(*requests: OpenRequest) -> Mapping[str, Traffic]:
    store = MemoryTrafficStore()
    traffic = TrafficLog(store)
    for request in requests:
        traffic.count(request)
    await traffic.flush()
    return await store.read("net")


async def test_requests_count_for_the_version_that_answered():
    counted = await counts(ended("1"), ended("2"), ended("2", cached=True), ended("2", failed=True))
    figures = {version: (one.requests, one.failed, one.timed) for version, one in counted.items()}
    assert figures == {"1": (1, 0, 1), "2": (3, 1, 1)}


@pytest.mark.parametrize("request_", [ended(outcome="disconnected"), ended(outcome="broken_image"), ended("")])
async def test_what_is_no_matter_of_the_version_is_not_counted(request_: OpenRequest):
    assert await counts(request_) == {}


class Flaky(MemoryTrafficStore):
    """Fails once."""

    fails = True

    async def add(self, name: str, traffic: Mapping[str, Traffic]) -> None:
        if self.fails:
            self.fails = False
            raise TrafficStoreFailed("TimeoutError")
        await super().add(name, traffic)


async def test_counts_wait_while_the_store_is_down():
    store = Flaky()
    traffic = TrafficLog(store)
    traffic.count(ended())
    await traffic.flush()
    traffic.count(ended())
    await traffic.flush()
    assert (await store.read("net"))["1"].requests == 2
