"""Counts of requests by version: percentiles, differences, and their JSON."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.rollout.latencies import LARGEST, bucket_of, percentile_s
from services.rollout.traffic import Traffic


def traffic(*latencies_s: float, failed: int = 0) -> Traffic:
    counted = Traffic()
    for latency_s in latencies_s:
        counted += Traffic.of_request(latency_s, failed=False)
    for _ in range(failed):
        counted += Traffic.of_request(0.5, failed=True)
    return counted


def test_percentile_is_numpys_to_1_percent():
    latencies_s = np.random.default_rng(1).lognormal(-3.5, 0.8, 5000)
    measured = traffic(*latencies_s.tolist())
    for share in (0.5, 0.9, 0.99):
        exact = np.quantile(latencies_s, share, method="inverted_cdf")
        assert percentile_s(measured.latencies, share) == pytest.approx(exact, rel=0.0101)


def test_percentile_is_the_nearest_rank():
    hundred = traffic(*[0.01] * 99, 1.0)
    assert percentile_s(hundred.latencies, 0.99) == pytest.approx(0.01, rel=0.01)
    assert percentile_s(hundred.latencies, 0.995) == pytest.approx(1.0, rel=0.01)
    assert math.isnan(Traffic().p99_s)


def test_buckets_are_bounded():
    assert (bucket_of(0.0), bucket_of(1e9)) == (0, LARGEST)


def test_failed_and_cached_requests_have_no_latency():
    counted = traffic(0.1, failed=2) + Traffic.of_request(None, failed=False)
    assert (counted.requests, counted.failed, counted.timed) == (4, 2, 1)


def test_difference_is_what_was_added():
    earlier, added = traffic(0.1, 0.2, failed=1), traffic(0.2, 3.0, failed=2)
    assert (earlier + added).since(earlier) == added


def test_smaller_count_is_no_continuation():
    assert traffic(0.1).since(traffic(0.1, 0.2)) is None
    assert traffic(0.1, 0.1).since(traffic(0.2)) is None


def test_json_is_read_back():
    counted = traffic(0.001, 0.1, 0.1, failed=1)
    assert Traffic.from_dict(counted.to_dict()) == counted


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"requests": 1, "failed": 0, "latencies": []},
        {"requests": -1, "failed": 0, "latencies": {}},
        {"requests": 1, "failed": 0, "latencies": {"999": 1}},
        {"requests": 1, "failed": 0, "latencies": {"x": 1}},
    ],
)
def test_malformed_json_is_refused(document: dict[str, object]):
    with pytest.raises(ValueError):
        Traffic.from_dict(document)
