"""What an overload showed, computed from made-up arrivals."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from loadtests.arrivals import Arrival, Offered
from loadtests.load_charts import overload_chart
from loadtests.overload_run import Phases, normal_after_s, overload_of, per_second

PHASES = Phases(calm_rate=10, overload_rate=100, calm_s=2, overload_s=4, recovery_s=5)


def _each(begin: float, end: float, rate: float, took_s: float, outcome: str) -> list[Arrival]:
    count = round((end - begin) * rate)
    return [Arrival(begin + number / rate, 0.001, took_s, outcome) for number in range(count)]


def test_overload_is_counted_by_outcome_and_goodput_by_arrival_of_answers():
    arrivals = [
        *_each(0, 2, 10, 0.01, "200"),
        *_each(2, 6, 50, 0.25, "200"),
        *_each(2, 6, 49, 0.02, "503"),
        *_each(2, 6, 1, 2.5, "504"),
        *_each(6, 11, 10, 0.01, "200"),
    ]
    shown = overload_of(Offered(arrivals, None, 0.1, 4, None), PHASES, bound_ms=100)
    assert (shown.offered, shown.answered, shown.refused, shown.failed) == (400, 200, 196, 4)
    assert shown.goodput == pytest.approx(50, abs=1)
    assert (shown.refusal_p99_ms, shown.answer_p99_ms, shown.late_p99_ms) == pytest.approx((20, 250, 1))
    assert shown.normal_after_s == 0.0


def test_service_is_normal_from_where_every_later_bin_is():
    slow = _each(6, 7.5, 10, 0.3, "200")
    refused = _each(8, 8.5, 10, 0.01, "503")
    good = [*_each(7.5, 8, 10, 0.01, "200"), *_each(8.5, 11, 10, 0.01, "200")]
    assert normal_after_s([*slow, *good], 6, 11, 100) == 1.5
    assert normal_after_s([*slow, *refused, *good], 6, 11, 100) == 2.5


def test_one_slow_answer_in_twenty_is_normal_and_one_in_ten_is_not():
    good = _each(6, 6.5, 38, 0.01, "200")
    assert normal_after_s([*good, Arrival(6.2, 0, 0.3, "200")], 6, 11, 100) == 0.0
    assert normal_after_s([*good, *[Arrival(6.2, 0, 0.3, "200")] * 2], 6, 11, 100) == 0.5


def test_service_that_stays_slow_is_never_normal():
    assert normal_after_s(_each(6, 11, 10, 0.3, "200"), 6, 11, 100) == math.inf


def test_seconds_of_the_chart_count_what_was_due_and_what_came():
    arrivals = [Arrival(0.5, 0, 0.1, "200"), Arrival(0.9, 0, 0.2, "200"), Arrival(1.5, 0, 0.1, "429")]
    middles, curves = per_second(arrivals, 2.0)
    assert middles == [0.5, 1.5]
    assert curves == {"offered": [2, 1], "answered": [1, 1], "refused": [0, 1]}
    root = ElementTree.fromstring(overload_chart(middles, curves, "t"))
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 6
