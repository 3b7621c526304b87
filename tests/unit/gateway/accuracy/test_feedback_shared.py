"""Feedback where gateways share a cache server: one takes it, all know of it, and none fails where it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from services.gateway.accuracy.answer_log import SECOND_LOOK_S
from services.gateway.accuracy.feedback_store import RedisStore
from services.gateway.serving.cache import RedisCache
from services.gateway.serving.pipelined_redis import PipelinedRedis
from services.gateway.serving.predictor import KEY_PREFIX
from services.local.embedded_cache import EmbeddedCache
from tests.unit.gateway.accuracy.feedback_fakes import Cats, error_of, tell
from tests.unit.gateway_fakes import classify, make_app, png

pytestmark = pytest.mark.usefixtures("no_second_look")


@pytest.fixture
async def two_gateways(cache_server: EmbeddedCache) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of two gateways that share a server, and of nothing else."""
    clients: list[httpx.AsyncClient] = []
    closing: list[Any] = []
    for _ in range(2):
        cache = RedisCache(PipelinedRedis(cache_server.url, 0.5), ttl_s=60, max_entry_bytes=2**20)
        store = RedisStore(cache_server.url, PipelinedRedis(cache_server.url, 0.5), timeout_s=0.5)
        app = await make_app(Cats(), cache, store, feedback_ttl_s=600)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://gateway"))
        closing += [clients[-1], store, cache]
    yield clients
    for one in closing:
        await (one.aclose() if isinstance(one, httpx.AsyncClient) else one.close())


async def test_gateways_share_answers_feedback_and_windows(
    two_gateways: list[httpx.AsyncClient], cache_server: EmbeddedCache, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.gateway.accuracy.answer_log.SECOND_LOOK_S", SECOND_LOOK_S)
    one, other = two_gateways
    request_id = (await classify(one, png(1))).json()["request_id"]
    told = await tell(other, request_id, {"class": "tabby"})
    assert told.status_code == 200, "what was answered a moment ago is looked for twice"
    assert error_of(await tell(one, request_id, {"class": "tabby"})) == (409, "already_given")
    redis = Redis.from_url(cache_server.url)
    (window,) = [key async for key in redis.scan_iter("tapetum:window:feedback:*")]
    assert await redis.llen(window) == 1
    await redis.aclose()


async def test_of_many_at_once_one_is_taken(two_gateways: list[httpx.AsyncClient]):
    request_id = (await classify(two_gateways[0], png(1))).json()["request_id"]
    await asyncio.sleep(0.1)
    told = await asyncio.gather(*(tell(client, request_id, {"class": 0}) for client in two_gateways * 5))
    assert sorted(response.status_code for response in told) == [200] + [409] * 9


async def test_store_that_is_full_is_said_once_in_the_log(
    two_gateways: list[httpx.AsyncClient], cache_server: EmbeddedCache
):
    redis = Redis.from_url(cache_server.url)
    await redis.config_set("maxmemory-policy", "noeviction")
    await redis.config_set("maxmemory", "1mb")
    with capture_logs() as logs:
        for shade in (1, 2):
            answer = await classify(two_gateways[0], png(shade))
            await asyncio.sleep(0.1)
    assert answer.status_code == 200
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["answers take no feedback"]
    await redis.aclose()


async def test_answer_from_the_cache_lasts_as_long_as_feedback_on_it(
    two_gateways: list[httpx.AsyncClient], cache_server: EmbeddedCache
):
    client = two_gateways[0]
    redis = Redis.from_url(cache_server.url)
    await classify(client, png(1))
    await asyncio.sleep(0.1)
    answers = [key async for key in redis.scan_iter("tapetum:*") if len(key) == len(KEY_PREFIX) + 64]
    assert 0 < await redis.ttl(answers[0]) <= 60
    assert (await classify(client, png(1))).json()["cached"] is True
    await asyncio.sleep(0.1)
    assert await redis.ttl(answers[0]) > 60
    await redis.aclose()


async def test_store_that_is_down_refuses_feedback_and_nothing_else(
    two_gateways: list[httpx.AsyncClient], cache_server: EmbeddedCache
):
    client = two_gateways[0]
    request_id = (await classify(client, png(1))).json()["request_id"]
    await asyncio.sleep(0.1)
    cache_server.stop()
    told = await tell(client, request_id, {"class": "tabby"})
    assert error_of(told) == (503, "feedback_unavailable") and told.headers["retry-after"] == "1"
    assert (await classify(client, png(2))).status_code == 200
    cache_server.start()
