"""What Tapetum wants to reach, as ratios within one run."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace

from loadtests.contenders import FASTAPI, FASTAPI_REDIS, FLOOR, LITSERVE, TAPETUM
from loadtests.samples import Medians, Sample
from loadtests.statistic import ratio
from loadtests.workloads import WORKLOADS

LEAST_OF_FLOOR = 0.9
LEAST_OF_FASTAPI = 2.0
LEAST_OF_LITSERVE = 1.5
MOST_NOOP_CPU_MS = 1.2
NOOP_CONCURRENCY = 32
LEAST_HITS_PER_S = 1500.0
LEAST_HITS_OF_FASTAPI = 0.4
BATCHED_CONCURRENCIES = (8, 32)


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


def goals(medians: Medians) -> list[Goal]:
    """Every goal that a run speaks of."""
    models = [goal for section in WORKLOADS for goal in _model_goals(medians, section)]
    return [*models, *_noop_goals(medians), *_cache_goals(medians)]


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


def _model_goals(medians: Medians, section: str) -> Iterator[Goal]:
    for sample in _of_tapetum(medians, section):
        _, _, photo, concurrency = sample.case
        if concurrency not in BATCHED_CONCURRENCIES:
            continue
        where = f"{section}, {photo}, concurrency {concurrency}"
        of_floor = ratio(sample.requests_per_s, floor_of(medians, section, photo, concurrency))
        yield _at_least(f"throughput of the floor, {where}", LEAST_OF_FLOOR, of_floor)
        yield _at_least(f"throughput of {FASTAPI}, {where}", LEAST_OF_FASTAPI, medians.speed_ratio(sample, FASTAPI))
        yield _at_least(f"throughput of {LITSERVE}, {where}", LEAST_OF_LITSERVE, medians.speed_ratio(sample, LITSERVE))


def _noop_goals(medians: Medians) -> Iterator[Goal]:
    for sample in _of_tapetum(medians, "noop"):
        if sample.case.concurrency == NOOP_CONCURRENCY:
            what = f"CPU ms per request, no-op model, concurrency {NOOP_CONCURRENCY}"
            yield judged(what, "≤", MOST_NOOP_CPU_MS, sample.system_cpu_ms)


def _cache_goals(medians: Medians) -> Iterator[Goal]:
    for sample in _of_tapetum(medians, "cache"):
        if sample.case.concurrency not in BATCHED_CONCURRENCIES:
            continue
        where = f"concurrency {sample.case.concurrency}"
        per_s = _at_least(f"cache hits per second, {where}: either this", LEAST_HITS_PER_S, sample.requests_per_s)
        of_peer = medians.speed_ratio(sample, FASTAPI_REDIS)
        share = _at_least(f"… or this share of {FASTAPI_REDIS}", LEAST_HITS_OF_FASTAPI, of_peer)
        yield replace(per_s, met=per_s.met or share.met)
        yield replace(share, met=per_s.met or share.met)


def _of_tapetum(medians: Medians, section: str) -> list[Sample]:
    return [sample for sample in medians.section(section) if sample.case.system == TAPETUM]


def _at_least(what: str, bound: float, reached: float | None) -> Goal:
    return judged(what, "≥", bound, reached)


def judged(what: str, sign: str, bound: float, reached: float | None) -> Goal:
    """A goal, and whether it is met: `sign` is `≥` or `≤`, `reached` is None where nothing was measured."""
    compare = operator.ge if sign == "≥" else operator.le
    return Goal(what, f"{sign} {bound:g}", reached, None if reached is None else compare(reached, bound))
