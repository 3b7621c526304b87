"""Guards of a rollout: upper bounds on what the live metrics of the new version say in comparison with the old one.

error_ratio          failed requests of the new version / all of its requests
p99_ratio            99th percentile of the latency of the new version / that of the old one
live_accuracy_drop   accuracy by feedback of the old version - that of the new one; of several figures, the largest
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from services.rollout.traffic import Traffic


class GuardError(ValueError):
    """An invalid guard; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """The accuracy of a version by feedback.

    Attributes:
        samples: Number of feedbacks.
        figures: By name, shares from 0 to 1.
    """

    samples: int = 0
    figures: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The live metrics of one version.

    Attributes:
        version: Label of the version.
        traffic: Its requests.
        live: Its accuracy by feedback.
    """

    version: str
    traffic: Traffic = field(default_factory=Traffic)
    live: LiveFigures = field(default_factory=LiveFigures)


@dataclass(frozen=True, slots=True)
class Minimum:
    """The least data on which a guard is evaluated.

    Attributes:
        requests: Requests of each version; of latencies, requests that were not answered from the cache.
        feedback: Feedbacks of each version.
    """

    requests: int
    feedback: int


class Value(NamedTuple):
    """The value of a guard.

    Attributes:
        number: The value; where there is too little data, a lower bound of what it will be, or NaN.
        is_known: Whether there is enough data.
        basis: What it was computed from, for people.
    """

    number: float
    is_known: bool
    basis: str


Measure = Callable[[Seen, Seen, Minimum], Value]
"""Computes the value of a guard from the metrics of the old and the new version."""


def error_ratio(_: Seen, new: Seen, minimum: Minimum) -> Value:
    """Failed requests of the new version over all of its requests.

    With too few requests the number is what the ratio will be if no further request fails before there are enough: so a
    version that fails every request does not get the minimum of them first.
    """
    requests, failed = new.traffic.requests, new.traffic.failed
    number = failed / max(requests, minimum.requests, 1)
    return Value(number, requests >= max(minimum.requests, 1), f"{failed} of {requests} requests failed")


def p99_ratio(old: Seen, new: Seen, minimum: Minimum) -> Value:
    """The 99th percentile of the latency of the new version over that of the old one."""
    counts = old.traffic.timed, new.traffic.timed
    if min(counts) < max(minimum.requests, 1):
        return Value(math.nan, False, f"{_of_both(old, new, counts)} uncached requests; {minimum.requests} each needed")
    before_s, now_s = old.traffic.p99_s, new.traffic.p99_s
    return Value(
        now_s / before_s, True, f"p99 {before_s * 1e3:.1f} ms of {old.version}, {now_s * 1e3:.1f} ms of {new.version}"
    )


def live_accuracy_drop(old: Seen, new: Seen, minimum: Minimum) -> Value:
    """The largest amount by which a figure of the new version's live accuracy is below the old version's."""
    counts = old.live.samples, new.live.samples
    if min(counts) < max(minimum.feedback, 1):
        return Value(math.nan, False, f"{_of_both(old, new, counts)} feedbacks; {minimum.feedback} each needed")
    before, now = old.live.figures or {}, new.live.figures or {}
    drops = {name: before[name] - now[name] for name in before if name in now}
    if not drops:
        return Value(math.nan, False, "feedback on both versions, but no figure that both have")
    worst = max(drops, key=drops.__getitem__)
    basis = f"{worst} {before[worst]:.4f} of {old.version}, {now[worst]:.4f} of {new.version}"
    return Value(drops[worst], True, basis)


def _of_both(old: Seen, new: Seen, counts: tuple[int, int]) -> str:
    return f"{old.version} has {counts[0]} and {new.version} {counts[1]}"


MEASURES: Final[dict[str, Measure]] = {
    measure.__name__: measure for measure in (error_ratio, p99_ratio, live_accuracy_drop)
}
"""The measure of every guard, by name."""


@dataclass(frozen=True, slots=True)
class Guard:
    """An upper bound.

    Attributes:
        name: In `MEASURES`.
        bound: The value must be below it.
    """

    name: str
    bound: float

    def read(self, old: Seen, new: Seen, minimum: Minimum) -> Reading:
        """Evaluates the guard on the metrics of both versions."""
        return Reading(self, *MEASURES[self.name](old, new, minimum))


class Reading(NamedTuple):
    """A guard and its value; see `Value`."""

    guard: Guard
    number: float
    is_known: bool
    basis: str

    @property
    def is_broken(self) -> bool:
        """Whether the value is at or above the bound, or certain to become so."""
        return self.number >= self.guard.bound

    def __str__(self) -> str:
        number = f"{self.number:.4g}" if self.is_known or self.is_broken else "not known yet"
        return f"{self.guard.name} {number} (below {self.guard.bound:g}): {self.basis}"


def parse_guards(text: str) -> tuple[Guard, ...]:
    """Parses guards such as `error_ratio<0.01,p99_ratio<1.2`; an empty text has none.

    Raises:
        GuardError: the text is malformed.
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    guards = tuple(map(_parse_guard, parts))
    names = [guard.name for guard in guards]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise GuardError(f"guard {twice!r} is given twice")
    return guards


def _parse_guard(text: str) -> Guard:
    name, sign, number = (part.strip() for part in text.partition("<"))
    if not sign:
        raise GuardError(f"{text!r} is no guard such as error_ratio<0.01")
    if name not in MEASURES:
        raise GuardError(f"there is no guard {name!r}; there are {', '.join(MEASURES)}")
    try:
        bound = float(number)
    except ValueError:
        bound = math.nan
    if not (math.isfinite(bound) and bound > 0):
        raise GuardError(f"{text!r}: the bound must be a number above 0")
    return Guard(name, bound)
