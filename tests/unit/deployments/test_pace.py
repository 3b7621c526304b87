"""A stream of short work takes half of a core, and a single piece of work never waits."""

import pytest

from services.deployments.pace import LONGEST_REST_S, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_work_that_follows_at_once_waits_as_long_as_the_work_before_took():
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    for _ in range(3):
        with pace.work():
            clock.now += 0.07
    assert clock.slept == pytest.approx([0.07, 0.07])


def test_work_after_the_rest_does_not_wait():
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    with pace.work():
        clock.now += 0.07
    clock.now += 0.08
    with pace.work():
        pass
    assert clock.slept == []


def test_long_work_is_followed_by_a_short_rest():
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    with pace.work():
        clock.now += 18.0
    with pace.work():
        pass
    assert clock.slept == pytest.approx([LONGEST_REST_S])


def test_work_that_fails_counts_too():
    clock = Clock()
    pace = Pace(clock, clock.sleep)
    with pytest.raises(ValueError, match="bad"), pace.work():
        clock.now += 0.2
        raise ValueError("bad")
    with pace.work():
        pass
    assert clock.slept == pytest.approx([0.2])
