"""What the benchmark collects: a sample per system, photo, concurrency and repeat, and the medians over the repeats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from loadtests.measuring import Measurement
from loadtests.statistic import ratio


class Case(NamedTuple):
    """What is measured.

    Attributes:
        section: Name of the comparison, one of `loadtests.scenarios.SECTIONS`.
        system: Name of the contender, or of a loop of the floor.
        photo: Name of the photos' size.
        concurrency: Connections; for the floor, photos in a batch.
    """

    section: str
    system: str
    photo: str
    concurrency: int


@dataclass(frozen=True)
class Sample:
    """One measurement of a case, or the medians of several.

    Attributes:
        case: What was measured.
        requests_per_s: Answers per second.
        p50_ms: Half the answers took this long or less; None where there were none, and for the floor.
        p95_ms: The same for 95 in 100.
        p99_ms: The same for 99 in 100.
        system_cpu_ms: CPU milliseconds (user and system) of all processes of the system per answer.
        load_cpu_ms: The same of the load generator.
        errors: How many requests were not answered with a 200, by what happened instead; of medians, the sum.
        first_error: The beginning of the first of them.
    """

    case: Case
    requests_per_s: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    system_cpu_ms: float | None = None
    load_cpu_ms: float | None = None
    errors: dict[str, int] = field(default_factory=dict[str, int])
    first_error: str | None = None


def sample_of(case: Case, measurement: Measurement) -> Sample:
    """The sample that a measurement is."""
    load = measurement.load
    return Sample(
        case=case,
        requests_per_s=measurement.requests_per_s,
        p50_ms=_known(load.p50_ms),
        p95_ms=_known(load.p95_ms),
        p99_ms=_known(load.p99_ms),
        system_cpu_ms=measurement.system_cpu_ms,
        load_cpu_ms=measurement.load_cpu_ms,
        errors=load.errors,
        first_error=load.first_error,
    )


class Medians:
    """The medians of samples, by case, in the order in which the cases first came.

    Args:
        samples: Any number of each case.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        repeats: dict[Case, list[Sample]] = {}
        for sample in samples:
            repeats.setdefault(sample.case, []).append(sample)
        self._by_case = {case: _median(several) for case, several in repeats.items()}

    def section(self, name: str) -> list[Sample]:
        """The medians of one section."""
        return [sample for case, sample in self._by_case.items() if case.section == name]

    def find(self, section: str, system: str, photo: str, concurrency: int) -> Sample | None:
        """The median of one case, None where it was not measured."""
        return self._by_case.get(Case(section, system, photo, concurrency))

    def speed_ratio(self, sample: Sample, system: str) -> float | None:
        """How many times as fast a sample is as another system in the same place; None where that was not measured."""
        other = self.find(sample.case.section, system, sample.case.photo, sample.case.concurrency)
        return ratio(sample.requests_per_s, other.requests_per_s if other else None)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _median(samples: Sequence[Sample]) -> Sample:
    def middle(values: Iterable[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return median(known) if known else None

    errors: Counter[str] = Counter()
    for sample in samples:
        errors.update(sample.errors)
    return Sample(
        case=samples[0].case,
        requests_per_s=median(sample.requests_per_s for sample in samples),
        p50_ms=middle(sample.p50_ms for sample in samples),
        p95_ms=middle(sample.p95_ms for sample in samples),
        p99_ms=middle(sample.p99_ms for sample in samples),
        system_cpu_ms=middle(sample.system_cpu_ms for sample in samples),
        load_cpu_ms=middle(sample.load_cpu_ms for sample in samples),
        errors=dict(errors),
        first_error=next((sample.first_error for sample in samples if sample.first_error), None),
    )
