"""What is asked twice is worked out once."""

from __future__ import annotations

import asyncio

from tests.unit.gateway_fakes import FakeBackend, MemoryCache, class_id_of, classify, gateway, png


async def test_second_time_is_answered_from_the_cache_without_a_call():
    backend = FakeBackend()
    async with gateway(backend, MemoryCache()) as client:
        first, second = await classify(client, png(5)), await classify(client, png(5))
        other = await classify(client, png(5), params={"top_k": 1})
    assert (first.json()["cached"], second.json()["cached"], other.json()["cached"]) == (False, True, False)
    assert first.json()["predictions"] == second.json()["predictions"]
    assert len(backend.calls) == 2


async def test_cache_control_is_respected():
    backend = FakeBackend()
    cache = MemoryCache()
    async with gateway(backend, cache) as client:
        await classify(client, png(6), headers={"cache-control": "no-store"})
        assert cache.bodies == {}
        await classify(client, png(6))
        again = await classify(client, png(6), headers={"cache-control": "no-cache"})
    assert again.json()["cached"] is False
    assert len(backend.calls) == 3


async def test_identical_requests_in_flight_are_worked_out_once():
    backend = FakeBackend()
    backend.takes_s = 0.05
    async with gateway(backend, MemoryCache()) as client:
        responses = await asyncio.gather(*(classify(client, png(7)) for _ in range(6)))
    assert {response.status_code for response in responses} == {200}
    assert sum(len(call) for call in backend.calls) == 1


async def test_concurrent_callers_get_their_own_answers_in_few_calls():
    backend = FakeBackend()
    backend.takes_s = 0.002
    images = [png(shade) for shade in range(60)]
    async with gateway(backend) as client:
        responses = await asyncio.gather(*(classify(client, image) for image in images))
    for image, response in zip(images, responses, strict=True):
        assert response.json()["predictions"][0]["class_id"] == class_id_of(image)
    assert len(backend.calls) < 30
