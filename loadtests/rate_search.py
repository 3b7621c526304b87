"""Finds the highest rate that a service keeps within its bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from loadtests.point import Verdict

GROWTH = 1.6
"""From one rate to the next while all is within bounds: coarse enough to be quick, fine enough for a curve."""

PRECISION = 1.1
"""The search ends when the lowest rate that failed is at most this many times the highest that held."""

LOWEST = 1 / 64
"""Share of the first rate below which the search gives up."""

TRIES = 2
"""A rate must fail this often, one time after the other, before it counts: one hiccup of the machine is no limit."""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        rate: Highest rate within bounds; None where none was.
        failed: Lowest rate that failed; None where all that were tried held.
        why: What that one failed by: `exceeded`, or `void` where the generator could go no higher; None likewise.
    """

    rate: float | None
    failed: float | None = None
    why: Verdict | None = None


def find_highest_rate(measure: Callable[[float], Verdict], first: float, most: float = 20_000.0) -> Found:
    """Raise the rate until a point fails, then narrow down the limit between the last two by bisection.

    Rates are equally spaced on a logarithmic scale, as the answer is wanted to a percentage.

    Args:
        measure: Runs one point at a rate.
        first: Where to begin; if it fails, lower ones are tried.
        most: No rate above this is tried.
    """
    found = _bracket(measure, first, most)
    while found.rate is not None and found.failed is not None and found.failed / found.rate > PRECISION:
        middle = math.sqrt(found.rate * found.failed)
        verdict = _try(measure, middle)
        found = (
            Found(middle, found.failed, found.why) if verdict is Verdict.HELD else Found(found.rate, middle, verdict)
        )
    return found


def _bracket(measure: Callable[[float], Verdict], first: float, most: float) -> Found:
    """The highest rate that held and the lowest that failed, of those a factor `GROWTH` apart."""
    found, rate = Found(None), first
    while LOWEST * first <= rate <= most:
        verdict = _try(measure, rate)
        if verdict is Verdict.HELD:
            found = Found(rate, found.failed, found.why)
            if found.failed is not None:
                return found
            rate *= GROWTH
        else:
            found = Found(found.rate, rate, verdict)
            if found.rate is not None:
                return found
            rate /= GROWTH
    return found


def _try(measure: Callable[[float], Verdict], rate: float) -> Verdict:
    """`held` if one of `TRIES` points is, or else what the last one was."""
    verdict = Verdict.VOID
    for _ in range(TRIES):
        verdict = measure(rate)
        if verdict is Verdict.HELD:
            break
    return verdict
