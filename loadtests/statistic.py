"""The few statistics that the benchmarks report."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all values do not exceed (the nearest-rank percentile).

    Args:
        ordered: Values in ascending order.
        share: In (0, 1], such as 0.99.

    Returns:
        One of the values; nan where there are none.

    Raises:
        ValueError: `share` is out of its range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], not {share}")
    if not ordered:
        return math.nan
    return ordered[math.ceil(share * len(ordered)) - 1]


def ratio(value: float | None, reference: float | None) -> float | None:
    """How many times `reference` a value is; None where either is missing, not a number, or the reference is 0."""
    if value is None or reference is None or not math.isfinite(value) or not math.isfinite(reference) or not reference:
        return None
    return value / reference
