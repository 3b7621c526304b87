"""The simulated overload: where more comes than a model can answer, some images are refused and none is late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from loadtests.simulated_overload import offer


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Prints no log line; afterwards logging is what it was, for the tests that read it."""
    with capture_logs():
        yield


def test_at_three_times_the_rate_some_are_answered_in_time_the_rest_refused_and_none_is_late():
    tally = asyncio.run(offer(image_s=0.05, rate=60.0, for_s=3.0, limit_s=10.0, max_wait_s=1.0))
    assert tally.late == 0
    assert tally.answered >= 20
    assert len(tally.refusals_s) >= 20
