"""A histogram of latencies with buckets of equal relative width, from which percentiles of two versions are compared.

The buckets of `tapetum_request_duration_seconds` are up to 2.5 times as wide as their lower end, too coarse for the
ratio of two percentiles. Source of the idea: HdrHistogram, https://hdrhistogram.org
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

SMALLEST_S: Final = 1e-4
"""Upper end of bucket 0."""

GROWTH: Final = 1.02
"""Ratio of the upper ends of two neighbouring buckets: a percentile is exact to 1 %."""

LARGEST: Final = 720
"""The last bucket, which ends at 156 s; longer latencies are counted there."""


def bucket_of(latency_s: float) -> int:
    """The bucket of a latency, 0 to `LARGEST`."""
    if latency_s <= SMALLEST_S:
        return 0
    return min(math.ceil(math.log(latency_s / SMALLEST_S) / math.log(GROWTH)), LARGEST)


def percentile_s(buckets: Mapping[int, int], share: float) -> float:
    """The latency that a share of the requests does not exceed (nearest rank), to half a bucket.

    Args:
        buckets: Number of requests by bucket.
        share: 0.99 for the 99th percentile.

    Returns:
        Seconds, the geometric middle of a bucket; NaN without requests.
    """
    total = sum(buckets.values())
    rank, below = math.ceil(share * total), 0
    for bucket in sorted(buckets):
        below += buckets[bucket]
        if below >= rank > 0:
            return SMALLEST_S * GROWTH ** (bucket - 0.5)
    return math.nan
