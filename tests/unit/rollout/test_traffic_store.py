"""The store of requests by version, in memory and on a real server: counts of all gateways add up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.local.embedded_cache import EmbeddedCache
from services.rollout.traffic import Traffic
from services.rollout.traffic_store import MemoryTrafficStore, RedisTrafficStore, TrafficStore, TrafficStoreFailed


def answered(*latencies_s: float, failed: int = 0) -> Traffic:
    requests = [Traffic.of_request(latency_s, failed=False) for latency_s in latencies_s]
    return Traffic.total([*requests, *[Traffic.of_request(None, failed=True)] * failed])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCache]:
    made = EmbeddedCache(tmp_path_factory.mktemp("cache"), 8 * 2**20)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def redis(server: EmbeddedCache) -> AsyncIterator[Redis]:
    redis = Redis.from_url(server.url)
    await redis.flushall()
    yield redis
    await redis.aclose()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, redis: Redis) -> TrafficStore:
    return MemoryTrafficStore() if request.param == "memory" else RedisTrafficStore(redis, "stack")


async def test_counts_of_gateways_add_up_by_version(store: TrafficStore):
    await store.add("a/net", {"1": answered(0.1, 0.2), "IMAGENET1K V2": answered(failed=2)})
    await store.add("a/net", {"1": answered(0.2, failed=1)})
    await store.add("net", {"1": answered(0.9)})
    assert await store.read("a/net") == {"1": answered(0.1, 0.2, 0.2, failed=1), "IMAGENET1K V2": answered(failed=2)}


async def test_model_without_requests_has_no_counts(store: TrafficStore):
    assert await store.read("net") == {}


async def test_stacks_on_one_server_count_apart(redis: Redis):
    await RedisTrafficStore(redis, "a").add("net", {"1": answered(0.1)})
    assert await RedisTrafficStore(redis, "b").read("net") == {}


async def test_malformed_fields_are_skipped(redis: Redis):
    store = RedisTrafficStore(redis, "stack")
    await store.add("net", {"1": answered(0.1)})
    for field, value in {"1 requests": b"-4", "1 9999": b"1", "nonsense": b"x", b"\xff 3": b"1"}.items():
        await redis.hset("tapetum:traffic:stack:net", field, value)  # pyright: ignore[reportGeneralTypeIssues]
    assert (await store.read("net"))["1"] == Traffic(0, 0, answered(0.1).latencies)


async def test_server_that_is_down_is_named():
    unreachable = Redis.from_url("redis://127.0.0.1:1", retry=Retry(NoBackoff(), 0))
    store = RedisTrafficStore(unreachable, "stack")
    with pytest.raises(TrafficStoreFailed, match="ConnectionError"):
        await store.read("net")
    with pytest.raises(TrafficStoreFailed, match="ConnectionError"):
        await store.add("net", {"1": answered(0.1)})
