"""Commands that are pipelined on one connection, with a real server."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from services.gateway.serving.pipelined_redis import PipelinedRedis
from services.local.embedded_cache import EmbeddedCache


@pytest.fixture
async def redis(cache_server: EmbeddedCache) -> AsyncIterator[PipelinedRedis]:
    made = PipelinedRedis(cache_server.url, 0.1)
    yield made
    await made.close()


async def test_each_command_gets_its_own_reply_and_an_error_is_of_one_only(redis: PipelinedRedis):
    told: list[object] = []
    redis.tell(("SET", "a", b"1"), told.append)
    replies = await asyncio.gather(*(redis.ask(*each) for each in [("GET", "a"), ("INCR", "a", "b"), ("INCR", "a")]),
                                   return_exceptions=True)  # fmt: skip
    assert told == [b"OK"]
    assert replies[0] == b"1" and isinstance(replies[1], ResponseError) and replies[2] == 2
    assert len(redis) == 0


async def test_command_in_the_background_is_sent_without_another(redis: PipelinedRedis):
    done = asyncio.get_running_loop().create_future()
    redis.tell(("PING",), done.set_result)
    assert await asyncio.wait_for(done, 5) == b"PONG"


async def test_silent_server_fails_all_commands_in_time_and_answers_again(
    redis: PipelinedRedis, cache_server: EmbeddedCache
):
    await redis.ask("PING")
    assert cache_server.pid is not None
    os.kill(cache_server.pid, signal.SIGSTOP)
    try:
        started_at = time.monotonic()
        replies = await asyncio.gather(*(redis.ask("GET", "a") for _ in range(10)), return_exceptions=True)
        assert {type(reply) for reply in replies} == {RedisTimeoutError}
        assert 0.1 <= time.monotonic() - started_at < 2
    finally:
        os.kill(cache_server.pid, signal.SIGCONT)
    assert await redis.ask("PING") == b"PONG"


async def test_reply_that_came_while_the_process_had_no_cpu_is_not_late(redis: PipelinedRedis):
    await redis.ask("PING")
    reply = redis.ask("PING")
    await asyncio.sleep(0)
    time.sleep(0.3)
    assert await reply == b"PONG"


async def test_server_that_ends_fails_what_waits_and_a_new_one_is_found(
    redis: PipelinedRedis, cache_server: EmbeddedCache
):
    await redis.ask("PING")
    cache_server.stop()
    with pytest.raises(RedisError):
        await redis.ask("PING")
    cache_server.start()
    assert await redis.ask("PING") == b"PONG"


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "unix:///no/such/socket", "rediss://127.0.0.1:1"])
async def test_server_that_is_not_there_is_an_error(url: str):
    redis = PipelinedRedis(url, 0.5)
    with pytest.raises(RedisError):
        await redis.ask("PING")
    await redis.close()
