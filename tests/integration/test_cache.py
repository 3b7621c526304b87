"""The result cache on a real server that is slow, down, restarted, full or holds garbage."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis

from services.errors import RateLimited
from services.gateway.accuracy.feedback_store import RedisStore
from services.gateway.limits import RateLimiter
from services.gateway.serving.cache import PAUSE_S, RedisCache
from services.gateway.serving.pipelined_redis import PipelinedRedis
from services.gateway.serving.seals import Seal
from services.local.embedded_cache import EmbeddedCache

pytestmark = pytest.mark.integration


@pytest.fixture
async def cache(cache_server: EmbeddedCache) -> AsyncIterator[RedisCache]:
    made = RedisCache(PipelinedRedis(cache_server.url, 0.1), ttl_s=60, max_entry_bytes=2**20)
    yield made
    await made.close()


def connect(cache_server: EmbeddedCache) -> Redis:
    return Redis.from_url(cache_server.url)


async def stored(cache: RedisCache, key: str) -> bool:
    """Whether a key turns up within a second."""
    for _ in range(100):
        if (await cache.get(key)).body is not None:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_what_is_put_is_found_and_expires_later(cache: RedisCache, cache_server: EmbeddedCache):
    assert await cache.get("a") == await cache.get("b")
    assert (await cache.get("a")).failed is False
    cache.put("a", b"answer")
    assert await stored(cache, "a")
    assert (await cache.get("a")).body == b"answer"
    assert 0 < int(str(connect(cache_server).ttl("a"))) <= 60


async def test_lookups_and_writes_of_one_moment_are_sent_together(cache: RedisCache, cache_server: EmbeddedCache):
    redis = connect(cache_server)
    await cache.get("warm")
    before = int(str(redis.info("stats")["total_reads_processed"]))
    cache.put("0", b"answer")
    lookups = await asyncio.gather(*(cache.get(str(n)) for n in range(50)))
    assert [lookup.body for lookup in lookups] == [b"answer"] + [None] * 49, "replies are in the order of the commands"
    assert int(str(redis.info("stats")["total_reads_processed"])) - before <= 3  # one of them is that of `info`


async def test_lookup_that_is_cancelled_leaves_the_others_their_replies(cache: RedisCache):
    cache.put("b", b"answer")
    first, second = (asyncio.create_task(cache.get(key)) for key in "ab")
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).body == b"answer"


async def test_garbage_is_a_failure_and_is_overwritten(cache: RedisCache, cache_server: EmbeddedCache):
    redis = connect(cache_server)
    for garbage in (b"", b"x", b"some longer garbage", Seal().close("a", b"answer")[:-1], Seal().close("b", b"answer")):
        redis.set("a", garbage)
        lookup = await cache.get("a")
        assert lookup.failed and lookup.body is None
    cache.put("a", b"answer")
    assert await stored(cache, "a")


SECRET = "a secret of sixteen characters or more"


async def test_value_that_was_written_without_the_secret_or_for_another_key_is_a_failure(cache_server: EmbeddedCache):
    cache = RedisCache(PipelinedRedis(cache_server.url, 0.5), ttl_s=60, max_entry_bytes=2**20, secret=SECRET)
    redis = connect(cache_server)
    cache.put("a", b"answer")
    assert await stored(cache, "a")
    for forged in (Seal().close("b", b"forged"), Seal("another secret, as long").close("b", b"forged"), redis.get("a")):
        redis.set("b", forged)  # pyright: ignore[reportArgumentType]
        assert (await cache.get("b")).failed
    await cache.close()


async def test_receipt_that_was_written_without_the_secret_is_none(cache_server: EmbeddedCache):
    store = RedisStore(cache_server.url, PipelinedRedis(cache_server.url, 0.5), timeout_s=0.5, secret=SECRET)
    redis = connect(cache_server)
    redis.set("tapetum:asked:a", Seal().close("a", b"forged"))
    assert await store.recall("a") is None
    redis.set("tapetum:asked:a", Seal(SECRET).close("a", b"line"))
    assert await store.recall("a") == b"line"
    await store.close()


async def test_server_that_goes_is_passed_by_and_comes_back(cache: RedisCache, cache_server: EmbeddedCache):
    cache.put("a", b"answer")
    assert await stored(cache, "a")
    cache_server.stop()
    assert (await cache.get("a")).failed
    cache.put("a", b"answer")  # goes nowhere, and says nothing
    started_at = time.monotonic()
    for _ in range(100):
        assert (await cache.get("a")).failed
    assert time.monotonic() - started_at < 0.1, "while it is passed by it costs nothing"
    cache_server.start()
    await asyncio.sleep(PAUSE_S)
    cache.put("a", b"again")
    assert await stored(cache, "a")


async def test_slow_server_costs_one_time_limit_and_no_more(cache: RedisCache, cache_server: EmbeddedCache):
    await cache.get("warm")
    assert cache_server.pid is not None
    os.kill(cache_server.pid, signal.SIGSTOP)
    try:
        started_at = time.monotonic()
        lookups = [await cache.get("a") for _ in range(10)]
        assert all(lookup.failed for lookup in lookups)
        assert time.monotonic() - started_at < 0.4
    finally:
        os.kill(cache_server.pid, signal.SIGCONT)
    await asyncio.sleep(PAUSE_S)
    assert not (await cache.get("a")).failed


async def test_full_server_still_answers_lookups(cache: RedisCache, cache_server: EmbeddedCache):
    redis = connect(cache_server)
    cache.put("a", b"answer")
    assert await stored(cache, "a")
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", 1)
    cache.put("b", b"refused")
    await asyncio.sleep(0.05)
    assert (await cache.get("a")).body == b"answer"
    assert (await cache.get("b")).body is None


async def test_embedded_server_is_private(cache_server: EmbeddedCache, tmp_path: Path):
    assert cache_server.url == f"unix://{tmp_path}/cache.sock"
    assert (tmp_path / "cache.sock").stat().st_mode & 0o077 == 0
    assert connect(cache_server).config_get("port")["port"] == "0"


async def test_rate_limits_are_shared_through_the_server_and_survive_without_it(cache_server: EmbeddedCache):
    first, second = (RateLimiter("3/hour", cache_server.url, 0.1) for _ in range(2))
    await first.check("client")
    await second.check("client")
    await first.check("client")
    with pytest.raises(RateLimited):
        await second.check("client")
    cache_server.stop()
    await second.check("client")  # counted alone now
    await first.close()
    await second.close()
