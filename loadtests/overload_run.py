"""What an overload showed: how fast the service refused, how much it still answered, and when it was normal again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loadtests.arrivals import Arrival, Offered
from loadtests.point import OK, REFUSED, ordered_ms
from loadtests.statistic import percentile

BIN_S: Final = 0.5
NORMAL_SHARE: Final = 0.95
"""Least share of the requests of a bin that are answered within the bound where the service is normal."""


@dataclass(frozen=True)
class Phases:
    """Calm, overload, calm again.

    Attributes:
        calm_rate: Arrivals a second before and after.
        overload_rate: Arrivals a second in between.
        calm_s: Length of the first part.
        overload_s: Length of the second.
        recovery_s: Length of the third.
    """

    calm_rate: float
    overload_rate: float
    calm_s: float
    overload_s: float
    recovery_s: float

    @property
    def rates(self) -> tuple[tuple[float, float], ...]:
        """(rate, seconds) of each part."""
        return (
            (self.calm_rate, self.calm_s),
            (self.overload_rate, self.overload_s),
            (self.calm_rate, self.recovery_s),
        )

    @property
    def overload(self) -> tuple[float, float]:
        """(begin, end) of the overload, in seconds."""
        return self.calm_s, self.calm_s + self.overload_s

    @property
    def end_s(self) -> float:
        """End of the last part."""
        return self.calm_s + self.overload_s + self.recovery_s


@dataclass(frozen=True)
class Overload:
    """The figures of an overload.

    Attributes:
        offered: Requests that were due in it.
        answered: Of these, with a status 200.
        refused: Of these, with a status of `REFUSED`.
        failed: Of these, with anything else.
        goodput: Responses with status 200 a second that came in it, its first second left out.
        refusal_p50_ms: From when a refused request was due to its refusal; nan where there were none.
        refusal_p99_ms: Likewise.
        answer_p99_ms: The same of the requests that were answered.
        late_p50_ms: How late the generator was; what it was late is part of the other figures.
        late_p99_ms: Likewise.
        normal_after_s: From the end of the overload to the first moment from which the service is normal; inf where it
            never was.
    """

    offered: int
    answered: int
    refused: int
    failed: int
    goodput: float
    refusal_p50_ms: float
    refusal_p99_ms: float
    answer_p99_ms: float
    late_p50_ms: float
    late_p99_ms: float
    normal_after_s: float


def overload_of(offered: Offered, phases: Phases, bound_ms: float) -> Overload:
    """The figures of a run.

    Args:
        offered: What came of it.
        phases: Of which it was made.
        bound_ms: Latency of an answer that counts as normal.
    """
    begin, end = phases.overload
    within = [arrival for arrival in offered.arrivals if begin <= arrival.due_s < end]
    answers = ordered_ms(arrival.took_s for arrival in within if arrival.outcome == OK)
    refusals = ordered_ms(arrival.took_s for arrival in within if arrival.outcome in REFUSED)
    late = ordered_ms(arrival.late_s for arrival in within)
    settled = begin + 1.0
    came = sum(
        arrival.outcome == OK and settled <= arrival.due_s + arrival.took_s < end for arrival in offered.arrivals
    )
    return Overload(
        offered=len(within),
        answered=len(answers),
        refused=len(refusals),
        failed=len(within) - len(answers) - len(refusals),
        goodput=came / (end - settled),
        refusal_p50_ms=percentile(refusals, 0.50),
        refusal_p99_ms=percentile(refusals, 0.99),
        answer_p99_ms=percentile(answers, 0.99),
        late_p50_ms=percentile(late, 0.50),
        late_p99_ms=percentile(late, 0.99),
        normal_after_s=normal_after_s(offered.arrivals, end, phases.end_s, bound_ms),
    )


def normal_after_s(arrivals: Sequence[Arrival], begin: float, end: float, bound_ms: float) -> float:
    """Seconds from `begin` to the first bin from which on every bin is normal; inf where the last one is not.

    A bin of `BIN_S` is normal where at least `NORMAL_SHARE` of the requests due in it are answered within `bound_ms`;
    one without requests is.
    """
    bins = round((end - begin) / BIN_S)
    due, good = [0] * bins, [0] * bins
    for arrival in arrivals:
        number = math.floor((arrival.due_s - begin) / BIN_S)
        if 0 <= number < bins:
            due[number] += 1
            good[number] += arrival.outcome == OK and arrival.took_s * 1e3 <= bound_ms
    abnormal = [number for number in range(bins) if good[number] < NORMAL_SHARE * due[number]]
    if not abnormal:
        return 0.0
    return math.inf if abnormal[-1] == bins - 1 else (abnormal[-1] + 1) * BIN_S


def per_second(arrivals: Sequence[Arrival], end: float) -> tuple[list[float], Mapping[str, list[float]]]:
    """Requests a second over time, for a chart.

    Args:
        arrivals: Of the whole run.
        end: Its length in seconds.

    Returns:
        Middle of each second, and in each the requests that were due, the answers that came, and the refusals.
    """
    bins = math.ceil(end)
    curves = {name: [0.0] * bins for name in ("offered", "answered", "refused")}
    for arrival in arrivals:
        _count(curves["offered"], arrival.due_s)
        if arrival.outcome == OK:
            _count(curves["answered"], arrival.due_s + arrival.took_s)
        elif arrival.outcome in REFUSED:
            _count(curves["refused"], arrival.due_s + arrival.took_s)
    return [number + 0.5 for number in range(bins)], curves


def _count(bins: list[float], at_s: float) -> None:
    if 0 <= at_s < len(bins):
        bins[int(at_s)] += 1
