"""The schedule of a rollout: its steps, guards and limits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from services.rollout.guards import Guard, Minimum


class ScheduleError(ValueError):
    """Invalid steps; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a version is rolled out.

    Attributes:
        steps: Weights of the canary in percent, ascending; the last one is 100.
        guards: What must hold at every step.
        hold_s: The least duration of a step.
        minimum: The least data of a step, on which its guards are evaluated.
        timeout_s: Longest duration of a step; where a guard is not known by then, the rollout fails.
        skip_unknown: Go on instead, where a guard is not known by then.
    """

    steps: tuple[float, ...]
    guards: tuple[Guard, ...]
    hold_s: float
    minimum: Minimum
    timeout_s: float
    skip_unknown: bool = False


def parse_steps(text: str) -> tuple[float, ...]:
    """Parses steps such as `5,25,100`.

    Raises:
        ScheduleError: they are no ascending percentages up to 100.
    """
    try:
        steps = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ScheduleError(f"{text!r} are no steps such as 5,25,100") from None
    if not all(0 < step <= 100 for step in steps):
        raise ScheduleError(f"{text!r}: steps are percentages above 0, at most 100")
    if any(later <= earlier for earlier, later in pairwise(steps)):
        raise ScheduleError(f"{text!r}: every step must be larger than the one before")
    if steps[-1] != 100:
        raise ScheduleError(f"{text!r}: the last step must be 100")
    return steps
