"""One point of a curve of latency against rate: what an open-loop run showed, and whether that is within bounds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from loadtests.arrivals import Arrival, Offered
from loadtests.statistic import percentile

OK: Final = "200"
REFUSED: Final = ("429", "503")
"""Statuses by which a service says that it has no room just now."""


@dataclass(frozen=True)
class Bounds:
    """What a rate must keep to, and how exact the generator must be.

    Attributes:
        p99_ms: Highest 99th percentile of the latencies.
        error_share: Largest share of requests without a status 200.
        late_ms: Highest 99th percentile of how late the generator was; above it a point is void.
    """

    p99_ms: float = 250.0
    error_share: float = 0.001
    late_ms: float = 25.0

    def max_unanswered(self, rate: float) -> int:
        """Requests without an answer above which a run at this rate cannot come within bounds.

        By Little's law (Little 1961) rate · p99 would be in the system if *every* request took as long as the slowest
        may; twice that, and 32 for chance at low rates, is a queue that grows.
        """
        return 32 + math.ceil(2 * rate * self.p99_ms / 1e3)


class Verdict(StrEnum):
    """What a point says."""

    HELD = "held"
    EXCEEDED = "exceeded"
    VOID = "void"
    """The generator was too late: the point does not measure the service."""


@dataclass(frozen=True)
class Point:
    """One rate.

    Attributes:
        rate: Arrivals a second that were asked for.
        offered: Arrivals that there were.
        goodput: Responses with status 200 a second.
        p50_ms: Of their latencies, from when the request was due; nan where there were none.
        p95_ms: Likewise.
        p99_ms: Likewise.
        refused: Responses with a status of `REFUSED`.
        refused_p99_ms: Of their latencies; nan where there were none.
        errors: Everything but a 200, refusals included, by outcome.
        late_p50_ms: How late the generator was.
        late_p99_ms: Likewise.
        ended_early: Why the run ended before its time; None where it did not.
        load_cpu_ms: CPU milliseconds of the generator per request.
        first_error: The beginning of the first response without a status 200, or of the first failure.
        verdict: Whether it is within bounds.
    """

    rate: float
    offered: int
    goodput: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    refused: int
    refused_p99_ms: float
    errors: dict[str, int]
    late_p50_ms: float
    late_p99_ms: float
    ended_early: str | None
    load_cpu_ms: float
    first_error: str | None
    verdict: Verdict


def point_of(rate: float, window: tuple[float, float], offered: Offered, bounds: Bounds) -> Point:
    """The point that a run is.

    Args:
        rate: Of its arrivals.
        window: (begin, end) of the measured part, in seconds from the run's start; arrivals that were due in it count.
        offered: What came of the run.
        bounds: For the verdict.
    """
    begin, end = window
    counted = [arrival for arrival in offered.arrivals if begin <= arrival.due_s < end]
    answered = ordered_ms(arrival.took_s for arrival in counted if arrival.outcome == OK)
    refused = ordered_ms(arrival.took_s for arrival in counted if arrival.outcome in REFUSED)
    late = ordered_ms(arrival.late_s for arrival in counted)
    p99_ms, late_p99_ms = percentile(answered, 0.99), percentile(late, 0.99)
    errors = dict(Counter(arrival.outcome for arrival in counted if arrival.outcome != OK))
    return Point(
        rate=rate,
        offered=len(counted),
        goodput=_goodput(offered.arrivals, window),
        p50_ms=percentile(answered, 0.50),
        p95_ms=percentile(answered, 0.95),
        p99_ms=p99_ms,
        refused=len(refused),
        refused_p99_ms=percentile(refused, 0.99),
        errors=errors,
        late_p50_ms=percentile(late, 0.50),
        late_p99_ms=late_p99_ms,
        ended_early=offered.ended_early,
        load_cpu_ms=offered.cpu_s / max(len(offered.arrivals), 1) * 1e3,
        first_error=offered.first_error,
        verdict=_judge(bounds, len(counted), p99_ms, sum(errors.values()), late_p99_ms, offered.ended_early),
    )


def ordered_ms(seconds: Iterable[float]) -> list[float]:
    """Milliseconds in ascending order."""
    return sorted(value * 1e3 for value in seconds)


def _goodput(arrivals: Sequence[Arrival], window: tuple[float, float]) -> float:
    """Responses with status 200 a second that came within the window, whenever their requests were due."""
    begin, end = window
    came = sum(arrival.outcome == OK and begin <= arrival.due_s + arrival.took_s < end for arrival in arrivals)
    return came / (end - begin)


def _judge(
    bounds: Bounds, requests: int, p99_ms: float, errors: int, late_p99_ms: float, ended_early: str | None
) -> Verdict:
    if not requests or late_p99_ms > bounds.late_ms:
        return Verdict.VOID
    within = p99_ms <= bounds.p99_ms and errors <= bounds.error_share * requests
    return Verdict.HELD if within and ended_early is None else Verdict.EXCEEDED
