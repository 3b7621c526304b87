"""An external service that fails is not called for a while; requests meanwhile lose no time."""

from __future__ import annotations

import socket
import time

import pytest

from services import breaker as module
from services.breaker import PAUSE_S, Breaker
from services.errors import RateLimited
from services.gateway.limits import RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_pauses_double_while_it_keeps_failing_and_one_caller_tries_after_each(clock: Clock):
    breaker = Breaker("a thing", max_pause_s=4 * PAUSE_S)
    pauses: list[float] = []
    for _ in range(5):
        assert breaker.allows()
        breaker.fail(ConnectionError())
        breaker.fail(ConnectionError())  # asked before the first failure was known
        before_s = clock.now_s
        while not breaker.allows():
            clock.now_s += PAUSE_S / 4
        pauses.append(clock.now_s - before_s)
        assert not breaker.allows(), "one caller tries, the others wait for how it fares"
        breaker.fail(ConnectionError())
        clock.now_s += 100
    assert pauses[0] == PAUSE_S and max(pauses) == 4 * PAUSE_S


def test_success_lets_everybody_in(clock: Clock):
    breaker = Breaker("a thing")
    breaker.fail(ConnectionError())
    clock.now_s += PAUSE_S
    assert breaker.allows()
    breaker.succeed()
    assert breaker.allows() and breaker.allows()


async def test_silent_redis_costs_one_request_its_time_and_the_others_nothing():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limiter = RateLimiter("5/minute", f"redis://127.0.0.1:{silent.getsockname()[1]}", 0.3)
        await limiter_time(limiter)
        times_s = [await limiter_time(limiter) for _ in range(4)]
        with pytest.raises(RateLimited):
            await limiter.check("client")
        await limiter.close()
    assert sum(times_s) < 0.3


async def limiter_time(limiter: RateLimiter) -> float:
    started_at = time.perf_counter()
    await limiter.check("client")
    return time.perf_counter() - started_at
