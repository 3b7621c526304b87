"""The controller of a rollout: a state machine that decides from the live metrics of both versions.

           ┌── hold, too little data ──┐
           ▼                           │
    step 1, 2, … ──── guards hold ─────┴──► next step … ──► promote
           │
           └── a guard breaks, or is not known at the time limit ──► roll back

It has no clock and sends nothing: whoever drives it passes the time and the metrics, and carries its decisions out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from services.rollout.guards import Reading, Seen
from services.rollout.schedule import Schedule
from services.rollout.traffic import Traffic


class Action(StrEnum):
    """What to do next."""

    WAIT = "wait"
    STEP = "step"
    PROMOTE = "promote"
    ROLL_BACK = "roll back"


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision, and what it was made of.

    Attributes:
        action: What to do next.
        reason: Why, for people.
        readings: The guards with their values.
        requests: Requests of the new version in this step.
    """

    action: Action
    reason: str
    readings: Sequence[Reading]
    requests: int


class Controller:
    """Decides when a rollout takes its next step, and when it ends.

    The metrics of the new version are those since its step began; those of the old version, the reference, since the
    rollout began, as it has no requests of its own at 100 %.

    Args:
        schedule: Steps, guards and limits.
        old: Metrics of the old version at the beginning, counts in total.
        new: The same of the new version.
        now_s: Time of any clock in seconds.
    """

    def __init__(self, schedule: Schedule, old: Seen, new: Seen, now_s: float) -> None:
        self._schedule = schedule
        self._index = 0
        self._old_before = old.traffic
        self._new_before = new.traffic
        self._began_s = now_s

    @property
    def weight(self) -> float:
        """Weight of the canary in the current step, in percent."""
        return self._schedule.steps[self._index]

    def decide(self, old: Seen, new: Seen, now_s: float) -> Decision:
        """Decide from the current metrics, whose counts are totals.

        Args:
            old: Metrics of the old version.
            new: Metrics of the new version.
            now_s: Time of the same clock.
        """
        if not self._continues(old.traffic, new.traffic, now_s):
            return Decision(Action.WAIT, "the counts of requests were reset; the step begins again", (), 0)
        old, new = _since(old, self._old_before), _since(new, self._new_before)
        readings = [guard.read(old, new, self._schedule.minimum) for guard in self._schedule.guards]
        action, reason = self._judge(readings, new.traffic.requests, now_s - self._began_s)
        return Decision(action, reason, readings, new.traffic.requests)

    def next_step(self, new: Seen, now_s: float) -> None:
        """Begin the next step, once its weight is in force.

        Args:
            new: Metrics of the new version, counts in total.
            now_s: Time of the same clock.
        """
        self._index += 1
        self._new_before, self._began_s = new.traffic, now_s

    def _judge(self, readings: Sequence[Reading], requests: int, took_s: float) -> tuple[Action, str]:
        schedule = self._schedule
        if broken := next((reading for reading in readings if reading.is_broken), None):
            return Action.ROLL_BACK, f"a guard broke: {broken}"
        if took_s < schedule.hold_s:
            return Action.WAIT, f"holding for {schedule.hold_s:g} s"
        if requests < schedule.minimum.requests:
            unknown = f"{requests} of {schedule.minimum.requests} requests"
        else:
            unknown = next((str(reading) for reading in readings if not reading.is_known), "")
        if unknown and took_s < schedule.timeout_s:
            return Action.WAIT, unknown
        if unknown and not schedule.skip_unknown:
            return Action.ROLL_BACK, f"not enough data within {schedule.timeout_s:g} s: {unknown}"
        is_last = self._index == len(schedule.steps) - 1
        return (Action.PROMOTE if is_last else Action.STEP), unknown and f"not known, skipped: {unknown}"

    def _continues(self, old: Traffic, new: Traffic, now_s: float) -> bool:
        """Whether the counts continue the earlier ones; if not, the step begins again from these."""
        if old.since(self._old_before) is not None and new.since(self._new_before) is not None:
            return True
        self._old_before, self._new_before, self._began_s = old, new, now_s
        return False


def _since(seen: Seen, before: Traffic) -> Seen:
    return replace(seen, traffic=seen.traffic.since(before) or Traffic())
