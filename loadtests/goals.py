"""What Tapetum wants to reach, as ratios within one run, and as CPU time."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from loadtests.contenders import ADAPTER, BEFORE, FASTAPI, FASTAPI_REDIS, FLOOR, LITSERVE, MOSEC, TAPETUM, TAPETUM_SPLIT
from loadtests.samples import Medians, Sample
from loadtests.statistic import ratio
from loadtests.workloads import WORKLOADS

Layout = Literal["split", "colocated"]
"""Whether models run in replicas of their own, or in those of the gateway."""
Bounds = Mapping[int, float]
"""A bound for each concurrency that has one."""

LEAST_OF_FLOOR: Final[Mapping[str, Bounds]] = {
    "classification": {8: 0.85, 32: 0.92},
    "detection": {8: 1.0, 32: 1.0},
    "segmentation": {8: 1.0, 32: 1.0},
}
LEAST_OF_PEERS: Final[Mapping[str, Bounds]] = {
    FASTAPI: {8: 5.0, 32: 5.0},
    LITSERVE: {8: 4.0, 32: 4.0},
    MOSEC: {1: 1.2, 8: 1.0, 32: 1.0},
}
MOST_ABOVE_FLOOR_MS: Final = 2.0
MOST_NOOP_CPU_MS: Final[Mapping[Layout, Bounds]] = {
    "split": {1: 2.5, 8: 1.4, 32: 1.0},
    "colocated": {1: 1.3, 8: 0.9, 32: 0.7},
}
LEAST_HITS_OF_REDIS: Final[Bounds] = {8: 0.6, 32: 0.6}
LEAST_OF_ADAPTER: Final = 0.9
LEAST_OF_BEFORE: Final = 1.4


@dataclass(frozen=True)
class Goal:
    """One goal, and what came of it.

    Attributes:
        what: One line.
        wanted: The bound, as text.
        reached: The figure; None where it was not measured.
        met: Whether that is good enough; None where it was not measured.
    """

    what: str
    wanted: str
    reached: float | None
    met: bool | None

    @property
    def more_is_better(self) -> bool:
        """Whether the bound is a lower one."""
        return self.wanted.startswith("≥")


def goals(medians: Medians, layout: Layout) -> list[Goal]:
    """Every goal that a run speaks of.

    Args:
        medians: Of the run.
        layout: Of Tapetum in it.
    """
    models = [goal for section in WORKLOADS for goal in _model_goals(medians, section)]
    noop, cache = (_of_tapetum(medians, section) for section in ("noop", "cache"))
    split = [sample for sample in medians.section("noop") if sample.case.system == TAPETUM_SPLIT]
    return [
        *models,
        *_goals_of(noop, f"CPU ms per request, no-op model, {layout}", "≤", MOST_NOOP_CPU_MS[layout]),
        *_goals_of(split, "CPU ms per request, no-op model, split", "≤", MOST_NOOP_CPU_MS["split"]),
        *(goal for sample in cache for goal in _against(medians, sample, FASTAPI_REDIS, LEAST_HITS_OF_REDIS)),
        *_whole_goals(medians),
    ]


def floor_of(medians: Medians, section: str, photo: str, concurrency: int) -> float | None:
    """Images per second of the faster loop: over full batches, or with one photo at a time at concurrency 1."""
    speeds = [
        sample.requests_per_s
        for sample in medians.section(section)
        if sample.case.system.startswith(FLOOR)
        and sample.case.photo == photo
        and (sample.case.concurrency == 1) == (concurrency == 1)
    ]
    return max(speeds, default=None)


def above_floor_ms(medians: Medians, sample: Sample) -> float | None:
    """Milliseconds that a photo takes more than in the floor's loop, for a sample at concurrency 1; mean times."""
    floor = floor_of(medians, sample.case.section, sample.case.photo, 1)
    return 1e3 / sample.requests_per_s - 1e3 / floor if floor and sample.requests_per_s else None


def _model_goals(medians: Medians, section: str) -> Iterator[Goal]:
    for sample in _of_tapetum(medians, section):
        _, _, photo, concurrency = sample.case
        if concurrency == 1:
            what = f"ms above the floor, {where(sample)}"
            yield judged(what, "≤", MOST_ABOVE_FLOOR_MS, above_floor_ms(medians, sample))
        if (bound := LEAST_OF_FLOOR[section].get(concurrency)) is not None:
            of_floor = ratio(sample.requests_per_s, floor_of(medians, section, photo, concurrency))
            yield judged(f"× {FLOOR}, {where(sample)}", "≥", bound, of_floor)
        for peer, bounds in LEAST_OF_PEERS.items():
            yield from _against(medians, sample, peer, bounds)


def _whole_goals(medians: Medians) -> Iterator[Goal]:
    """Of every bundled model, and of an evaluation."""
    for sample in _of_tapetum(medians, "models"):
        yield from _against(medians, sample, BEFORE, {sample.case.concurrency: LEAST_OF_BEFORE})
    for sample in _of_tapetum(medians, "evaluation"):
        yield from _against(medians, sample, ADAPTER, {sample.case.concurrency: LEAST_OF_ADAPTER})


def _against(medians: Medians, sample: Sample, other: str, bounds: Bounds) -> Iterator[Goal]:
    bound = bounds.get(sample.case.concurrency)
    if bound is not None:
        yield judged(f"× {other}, {where(sample)}", "≥", bound, medians.speed_ratio(sample, other))


def _goals_of(samples: list[Sample], what: str, sign: Literal["≥", "≤"], bounds: Bounds) -> Iterator[Goal]:
    for sample in samples:
        concurrency = sample.case.concurrency
        if concurrency in bounds:
            yield judged(f"{what}, concurrency {concurrency}", sign, bounds[concurrency], sample.system_cpu_ms)


def where(sample: Sample) -> str:
    """What was measured, for a line of text."""
    section, _, photo, concurrency = sample.case
    return f"{section}, {photo}, concurrency {concurrency}"


def _of_tapetum(medians: Medians, section: str) -> list[Sample]:
    return [sample for sample in medians.section(section) if sample.case.system == TAPETUM]


def judged(what: str, sign: str, bound: float, reached: float | None) -> Goal:
    """A goal, and whether it is met: `sign` is `≥` or `≤`, `reached` is None where nothing was measured."""
    compare = operator.ge if sign == "≥" else operator.le
    return Goal(what, f"{sign} {bound:g}", reached, None if reached is None else compare(reached, bound))
