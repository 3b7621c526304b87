"""More requests than a real stack can answer: the surplus is refused by name, the rest is answered, and it passes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from running import RunningStack

from loadtests.arrivals import offer
from loadtests.load import Load
from loadtests.load_plan import ArrivalPlan, LoadPlan

pytestmark = pytest.mark.integration

HEADERS = {"Content-Type": "image/jpeg", "Cache-Control": "no-store", "X-Request-Timeout": "2"}
OVERLOAD_S = 6.0


def test_surplus_is_refused_by_name_the_rest_answered_and_then_all_is_well(
    stack: RunningStack, photos: dict[str, bytes], tmp_path: Path
):
    body = tmp_path / "photo.jpg"
    body.write_bytes(photos["chelsea"])
    address = urlsplit(stack.url)
    where = (str(address.hostname), address.port or 80, "/v1/classify", HEADERS, (str(body),))
    closed = asyncio.run(Load(LoadPlan(*where, concurrency=8, seconds=3.0, warm_up_s=1.0)).run())
    capacity = closed.requests / closed.seconds
    assert capacity > 0 and not closed.errors

    offered = offer(ArrivalPlan(*where, phases=((3 * capacity, OVERLOAD_S),), connections=1024))
    outcomes = Counter(arrival.outcome for arrival in offered.arrivals)
    assert outcomes["503"] > 0.2 * len(offered.arrivals), outcomes
    assert outcomes["200"] > 0.3 * capacity * OVERLOAD_S, outcomes
    # The load takes CPU from the model that it asks: until that is noticed, what was admitted may be late.
    assert outcomes["200"] + outcomes["503"] > 0.8 * len(offered.arrivals), outcomes
    assert offered.first_error is not None and '"code":"overloaded"' in offered.first_error

    give_up_at = time.monotonic() + 10
    while _ask(stack, photos["chelsea"]) != 200:
        assert time.monotonic() < give_up_at, "still refused"
        time.sleep(0.2)


def _ask(stack: RunningStack, photo: bytes) -> int:
    return httpx.post(f"{stack.url}/v1/classify", content=photo, headers=HEADERS, timeout=10).status_code
