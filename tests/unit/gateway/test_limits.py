"""Time limits, overload, keys, rates and draining."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from services.answers.wire import Item, Outcome
from services.errors import OutOfTime, Overloaded, ServiceError
from services.gateway.middleware import error_response
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, classify, gateway, png


async def test_time_limit_is_kept_and_a_follower_with_more_time_is_still_answered():
    backend = FakeBackend()
    backend.takes_s = 0.1
    async with gateway(backend) as client:
        short = classify(client, png(8), headers={"x-request-timeout": "0.02"})
        late, patient = await asyncio.gather(short, classify(client, png(8)))
    assert (late.status_code, late.json()["error"]["code"]) == (504, "out_of_time")
    assert patient.status_code == 200


async def test_client_with_more_time_is_answered_though_the_call_that_it_joined_is_refused():
    backend = FakeBackend()
    backend.takes_s = 0.3
    async with gateway(backend) as client:
        assert (await classify(client, png(1))).status_code == 200, "from here on 0.3 s are expected"
        in_hand = asyncio.create_task(classify(client, png(2)))
        await asyncio.sleep(0.05)
        hasty = classify(client, png(3), headers={"x-request-timeout": "0.3"})
        refused, patient = await asyncio.gather(hasty, classify(client, png(3)))
        await in_hand
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert patient.status_code == 200


async def test_replica_that_ran_out_of_time_is_a_504():
    class Late(FakeBackend):
        async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
            return [OutOfTime("too late") for _ in items]

    async with gateway(Late()) as client:
        assert (await classify(client, png(), headers={"x-request-timeout": "0.01"})).status_code == 504


async def test_overload_is_refused_with_a_retry_after():
    backend = FakeBackend()
    backend.takes_s = 0.05
    async with gateway(backend, max_concurrent_requests=1, max_queued_requests=1) as client:
        responses = await asyncio.gather(*(classify(client, png(shade)) for shade in range(5)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200, 200, 503, 503, 503]
    refused = next(response for response in responses if response.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"


def test_retry_after_is_no_earlier_than_the_expected_end_of_the_wait():
    assert error_response(Overloaded("full", retry_after_s=2.2), "id").headers["retry-after"] == "3"
    assert error_response(Overloaded("full", retry_after_s=0.2), "id").headers["retry-after"] == "1"


async def test_keys_are_asked_for_and_checked():
    async with gateway(FakeBackend(), api_keys="first,second") as client:
        none, wrong = await classify(client, png()), await classify(client, png(), headers={"x-api-key": "third"})
        header = await classify(client, png(), headers={"x-api-key": "second"})
        bearer = await classify(client, png(), headers={"authorization": "Bearer first"})
        probe, models = await client.get("/healthz"), await client.get("/v1/models")
    assert [none.status_code, wrong.status_code, header.status_code, bearer.status_code] == [401, 403, 200, 200]
    assert none.headers["www-authenticate"] == "Bearer"
    assert (probe.status_code, models.status_code) == (200, 401)
    async with gateway(FakeBackend(), api_keys="first", open_probes=False) as client:
        assert (await client.get("/metrics")).status_code == 401


async def test_rate_limit_counts_each_key_apart():
    async with gateway(FakeBackend(), api_keys="a,b", rate_limit="2/minute") as client:
        statuses = [(await classify(client, png(), headers={"x-api-key": "a"})).status_code for _ in range(3)]
        other = await classify(client, png(), headers={"x-api-key": "b"})
        refused = await classify(client, png(), headers={"x-api-key": "a"})
    assert statuses == [200, 200, 429]
    assert other.status_code == 200
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_draining_refuses_new_requests(tmp_path: Path):
    async with gateway(FakeBackend(), run_dir=tmp_path) as client:
        assert (await classify(client, png())).status_code == 200
        (tmp_path / "draining").touch()
        response, ready = await classify(client, png()), await client.get("/readyz")
    assert (response.status_code, ready.status_code) == (503, 503)
    assert "retry-after" in response.headers


class TwoSpeeds(FakeBackend):
    """Takes half a second for images of one model, and a hundredth for those of the other."""

    async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
        self.calls.append(items)
        await asyncio.sleep(0.5 if any(item.model == "noop" for item in items) else 0.01)
        return [self._answer(item) for item in items]


async def test_fast_model_does_not_wait_for_a_slow_one_of_its_deployment():
    backend = TwoSpeeds()
    async with gateway(backend) as client:
        slow = [asyncio.create_task(classify(client, png(n), params={"model": "noop"})) for n in range(40)]
        await asyncio.sleep(0.1)
        took_s: list[float] = []
        for shade in range(5):
            started_at = time.monotonic()
            assert (await classify(client, png(shade))).status_code == 200
            took_s.append(time.monotonic() - started_at)
        assert not any(task.done() for task in slow)
        await asyncio.gather(*slow)
    assert sorted(took_s)[2] < 0.2
    assert all(len({item.model for item in call}) == 1 for call in backend.calls)


async def test_requests_that_wait_for_a_slow_model_do_not_hold_up_others():
    async with gateway(TwoSpeeds(), MemoryCache(), max_concurrent_requests=2) as client:
        slow = [asyncio.create_task(classify(client, png(n), params={"model": "noop"})) for n in range(4)]
        await asyncio.sleep(0.1)
        assert (await classify(client, png())).status_code == 200
        assert not any(task.done() for task in slow)
        await asyncio.gather(*slow)


async def test_image_that_would_wait_too_long_is_refused_and_a_cached_one_never():
    class Slow(FakeBackend):
        async def predict(self, items: list[Item]) -> Sequence[Outcome | ServiceError]:
            await asyncio.sleep(0.05 * len(items))
            return [self._answer(item) for item in items]

    async with gateway(Slow(), MemoryCache(), max_queue_wait_s=0.2) as client:
        assert (await classify(client, png(255))).status_code == 200
        waiting = [asyncio.create_task(classify(client, png(n))) for n in range(100)]
        await asyncio.sleep(1.0)
        refused, cached = await classify(client, png(254)), await classify(client, png(255))
        answers = await asyncio.gather(*waiting)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert cached.json()["cached"]
    assert sum(answer.status_code == 200 for answer in answers) >= 16
