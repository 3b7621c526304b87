"""Guards of a rollout: how they are written, and what they say of two versions."""

from __future__ import annotations

import math

import pytest

from services.rollout.guards import Guard, GuardError, LiveFigures, Minimum, Reading, Seen, parse_guards
from services.rollout.schedule import ScheduleError, parse_steps
from services.rollout.traffic import Traffic

MINIMUM = Minimum(requests=100, feedback=50)


def seen(
    version: str, requests: int = 0, failed: int = 0, latency_s: float = 0.1, live: LiveFigures | None = None
) -> Seen:
    counted = Traffic()
    for number in range(requests):
        counted += Traffic.of_request(latency_s, failed=number < failed)
    return Seen(version, counted, live or LiveFigures())


def reading(text: str, old: Seen, new: Seen) -> Reading:
    (guard,) = parse_guards(text)
    return guard.read(old, new, MINIMUM)


def test_guards_are_parsed():
    assert parse_guards("error_ratio<0.01, p99_ratio < 1.2,live_accuracy_drop<0.02") == (
        Guard("error_ratio", 0.01),
        Guard("p99_ratio", 1.2),
        Guard("live_accuracy_drop", 0.02),
    )
    assert parse_guards(" ") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("errors<0.01", "there is no guard 'errors'; there are error_ratio, p99_ratio, live_accuracy_drop"),
        ("error_ratio>0.01", "'error_ratio>0.01' is no guard such as error_ratio<0.01"),
        ("error_ratio<", "'error_ratio<': the bound must be a number above 0"),
        ("error_ratio<nan", "'error_ratio<nan': the bound must be a number above 0"),
        ("p99_ratio<-1", "'p99_ratio<-1': the bound must be a number above 0"),
        ("p99_ratio<1,p99_ratio<2", "guard 'p99_ratio' is given twice"),
        ("p99_ratio<1,", "'' is no guard such as error_ratio<0.01"),
    ],
)
def test_malformed_guard_is_explained(text: str, message: str):
    with pytest.raises(GuardError) as error:
        parse_guards(text)
    assert str(error.value) == message


def test_error_ratio_is_that_of_the_new_version():
    told = reading("error_ratio<0.01", seen("1", 200, failed=200), seen("2", 200, failed=1))
    assert (told.number, told.is_known, told.is_broken) == (0.005, True, False)
    assert str(told) == "error_ratio 0.005 (below 0.01): 1 of 200 requests failed"


def test_error_ratio_is_not_known_before_the_minimum_of_requests():
    told = reading("error_ratio<0.02", seen("1"), seen("2", 99, failed=1))
    assert (told.is_known, told.is_broken) == (False, False)


def test_error_ratio_breaks_early_where_further_requests_cannot_mend_it():
    told = reading("error_ratio<0.02", seen("1"), seen("2", 3, failed=2))
    assert (told.is_known, told.is_broken) == (False, True)
    assert str(told) == "error_ratio 0.02 (below 0.02): 2 of 3 requests failed"


def test_p99_ratio_of_a_version_that_takes_twice_as_long_is_2():
    told = reading("p99_ratio<1.2", seen("1", 100, latency_s=0.1), seen("2", 100, latency_s=0.2))
    assert told.number == pytest.approx(2.0, rel=0.02)
    assert told.is_broken
    same = reading("p99_ratio<1.2", seen("1", 100), seen("2", 100))
    assert (same.number, same.is_broken) == (1.0, False)


def test_p99_ratio_needs_requests_of_both_versions():
    told = reading("p99_ratio<1.2", seen("1", 20), seen("2", 500, latency_s=9.0))
    assert (told.is_known, told.is_broken) == (False, False)
    assert str(told) == "p99_ratio not known yet (below 1.2): 1 has 20 and 2 500 uncached requests; 100 each needed"


def test_live_accuracy_drop_is_that_of_the_figure_that_fell_most():
    old = seen("1", live=LiveFigures(50, {"precision": 0.9, "recall": 0.8}))
    new = seen("2", live=LiveFigures(60, {"precision": 0.91, "recall": 0.7}))
    told = reading("live_accuracy_drop<0.02", old, new)
    assert told.number == pytest.approx(0.1)
    assert (told.is_broken, told.basis) == (True, "recall 0.8000 of 1, 0.7000 of 2")


def test_better_version_has_a_negative_drop():
    old, new = (seen(version, live=LiveFigures(50, {"top1": top1})) for version, top1 in (("1", 0.8), ("2", 0.9)))
    told = reading("live_accuracy_drop<0.02", old, new)
    assert (told.number, told.is_broken) == (pytest.approx(-0.1), False)


@pytest.mark.parametrize("live", [None, LiveFigures(49, {"top1": 0.1}), LiveFigures(90, {"miou": 0.1})])
def test_live_accuracy_without_feedback_on_both_is_not_known(live: LiveFigures | None):
    told = reading("live_accuracy_drop<0.02", seen("1", live=LiveFigures(500, {"top1": 0.9})), seen("2", live=live))
    assert math.isnan(told.number)
    assert (told.is_known, told.is_broken) == (False, False)
    assert "feedback" in told.basis


def test_steps_are_parsed():
    assert parse_steps("5,25,100") == (5.0, 25.0, 100.0)
    assert parse_steps("0.5, 100") == (0.5, 100.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5,x", "'5,x' are no steps such as 5,25,100"),
        ("", "'' are no steps such as 5,25,100"),
        ("0,100", "'0,100': steps are percentages above 0, at most 100"),
        ("5,101", "'5,101': steps are percentages above 0, at most 100"),
        ("nan,100", "'nan,100': steps are percentages above 0, at most 100"),
        ("25,5,100", "'25,5,100': every step must be larger than the one before"),
        ("5,25", "'5,25': the last step must be 100"),
    ],
)
def test_malformed_steps_are_explained(text: str, message: str):
    with pytest.raises(ScheduleError) as error:
        parse_steps(text)
    assert str(error.value) == message
