import math

import pytest

from loadtests.processes import cpu_between
from loadtests.readings import Readings
from loadtests.samples import Case, Medians, Sample
from loadtests.statistic import percentile, ratio


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentile_of_one_to_hundred(share: float, expected: float):
    assert percentile(range(1, 101), share) == expected


def test_percentile_of_one_value_is_that_value():
    assert percentile([7.0], 0.99) == 7.0


def test_percentile_of_nothing_is_not_a_number():
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize("share", [0.0, 1.01, -0.5])
def test_percentile_refuses_a_share_out_of_range(share: float):
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


@pytest.mark.parametrize(("value", "reference", "expected"), [(3.0, 2.0, 1.5), (None, 2.0, None), (3.0, 0.0, None)])
def test_ratio(value: float | None, reference: float, expected: float | None):
    assert ratio(value, reference) == expected


def test_cpu_counts_processes_that_began_and_leaves_out_those_that_ended():
    assert cpu_between({1: 10.0, 2: 5.0}, {1: 11.5, 3: 0.25}) == 1.75


def test_medians_are_taken_by_case_and_errors_are_summed():
    case = Case("noop", "Tapetum", "100 KB", 8)
    medians = Medians(
        [Sample(case, speed, p50_ms=1.0, errors={"503": 2}) for speed in (10.0, 1000.0, 30.0)]
        + [Sample(case._replace(system="FastAPI"), 60.0)]
    )
    (tapetum, fastapi) = medians.section("noop")
    assert (tapetum.requests_per_s, tapetum.errors) == (30.0, {"503": 6})
    assert medians.speed_ratio(tapetum, "FastAPI") == 0.5
    assert medians.speed_ratio(fastapi, "LitServe") is None


METRICS = """\
# TYPE tapetum_cache_requests_total counter
tapetum_cache_requests_total{outcome="hit",task="classification"} 10.0
tapetum_cache_requests_total{outcome="hit",task="detection"} 1.0
tapetum_cache_requests_total{outcome="miss",task="classification"} 4.0
# TYPE tapetum_call_images histogram
tapetum_call_images_bucket{le="1.0",task="classification"} 2.0
tapetum_call_images_count{task="classification"} 2.0
tapetum_call_images_sum{task="classification"} 4.0
"""


def test_readings_are_summed_over_tasks():
    assert Readings.parse(METRICS) == Readings(calls=2, images_called=4, hits=11, misses=4, failures=0)


def test_readings_between_two_moments():
    before = Readings(calls=1, images_called=1, hits=1, misses=4, failures=0)
    assert before.until(Readings.parse(METRICS)) == Readings(calls=1, images_called=3, hits=10, misses=0, failures=0)
