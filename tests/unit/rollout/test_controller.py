"""The controller of a rollout, with a clock and metrics that the test sets."""

from __future__ import annotations

from dataclasses import replace

from services.rollout.controller import Action, Controller, Decision
from services.rollout.guards import LiveFigures, Minimum, Seen, parse_guards
from services.rollout.schedule import Schedule, parse_steps
from services.rollout.traffic import Traffic

SCHEDULE = Schedule(
    steps=parse_steps("5,25,100"),
    guards=parse_guards("error_ratio<0.01,p99_ratio<1.2"),
    hold_s=10.0,
    minimum=Minimum(requests=100, feedback=20),
    timeout_s=60.0,
)
ACCURATE = replace(SCHEDULE, guards=parse_guards("live_accuracy_drop<0.02"))


class Rollout:
    """A rollout, the counts of its two versions, and a clock."""

    def __init__(self, schedule: Schedule = SCHEDULE) -> None:
        self.old, self.new, self.now_s = Seen("1"), Seen("2"), 1000.0
        self.answer(old=500, new=7, old_s=5.0, new_s=5.0)  # before the rollout: must not count
        self.controller = Controller(schedule, self.old, self.new, self.now_s)

    def answer(self, *, old: int = 0, new: int = 0, failed: int = 0, old_s: float = 0.1, new_s: float = 0.1) -> None:
        for _ in range(old):
            self.old = replace(self.old, traffic=self.old.traffic + Traffic.of_request(old_s, failed=False))
        for number in range(new):
            one = Traffic.of_request(new_s, failed=number < failed)
            self.new = replace(self.new, traffic=self.new.traffic + one)

    def after(self, seconds: float) -> Decision:
        self.now_s += seconds
        return self.controller.decide(self.old, self.new, self.now_s)

    def next_step(self) -> None:
        self.controller.next_step(self.new, self.now_s)


def test_all_steps_are_taken_while_the_guards_hold():
    rollout = Rollout()
    weights: list[float] = []
    for action in (Action.STEP, Action.STEP, Action.PROMOTE):
        weights.append(rollout.controller.weight)
        rollout.answer(old=100 if rollout.controller.weight < 100 else 0, new=100)
        decision = rollout.after(10)
        assert (decision.action, decision.requests) == (action, 100)
        if action is Action.STEP:
            rollout.next_step()
    assert weights == [5, 25, 100]


def test_step_is_held():
    rollout = Rollout()
    rollout.answer(old=100, new=100)
    assert rollout.after(9.9).action is Action.WAIT
    assert rollout.after(0.2).action is Action.STEP


def test_step_waits_for_its_minimum_of_requests():
    rollout = Rollout()
    rollout.answer(old=100, new=99)
    waiting = rollout.after(30)
    assert (waiting.action, waiting.reason) == (Action.WAIT, "99 of 100 requests")
    rollout.answer(new=1)
    assert rollout.after(1).action is Action.STEP
    rollout.next_step()
    assert rollout.after(10).reason == "0 of 100 requests", "each step counts its own"


def test_failing_version_is_rolled_back_before_the_step_is_over():
    rollout = Rollout()
    rollout.answer(old=100, new=2, failed=2)
    decision = rollout.after(1)
    assert decision.action is Action.ROLL_BACK
    assert decision.reason == "a guard broke: error_ratio 0.02 (below 0.01): 2 of 2 requests failed"


def test_slower_version_is_rolled_back():
    rollout = Rollout()
    rollout.answer(old=100, new=100, new_s=0.15)
    decision = rollout.after(1)
    assert decision.action is Action.ROLL_BACK
    assert decision.reason.startswith("a guard broke: p99_ratio 1.")


def test_guard_that_breaks_at_the_last_step_rolls_back():
    rollout = Rollout()
    for _ in range(2):
        rollout.answer(old=100, new=100)
        assert rollout.after(10).action is Action.STEP
        rollout.next_step()
    rollout.answer(new=100, new_s=0.3)
    assert rollout.after(1).action is Action.ROLL_BACK


def test_less_accurate_version_is_rolled_back():
    rollout = Rollout(ACCURATE)
    rollout.old = replace(rollout.old, live=LiveFigures(400, {"top1": 0.9}))
    rollout.new = replace(rollout.new, live=LiveFigures(20, {"top1": 0.87}))
    assert rollout.after(1).action is Action.ROLL_BACK


def test_rollout_without_feedback_waits_and_then_fails():
    rollout = Rollout(ACCURATE)
    rollout.answer(old=100, new=100)
    waiting = rollout.after(59)
    assert waiting.action is Action.WAIT
    assert "live_accuracy_drop not known yet" in waiting.reason
    failed = rollout.after(1)
    assert failed.action is Action.ROLL_BACK
    assert failed.reason.startswith("not enough data within 60 s: live_accuracy_drop not known yet")


def test_guard_that_is_not_known_is_skipped_by_option_only_and_says_so():
    rollout = Rollout(replace(ACCURATE, skip_unknown=True))
    rollout.answer(old=100, new=100)
    assert rollout.after(59).action is Action.WAIT
    decision = rollout.after(1)
    assert decision.action is Action.STEP
    assert decision.reason.startswith("not known, skipped: live_accuracy_drop")


def test_counts_that_were_reset_begin_the_step_again():
    rollout = Rollout()
    rollout.answer(old=100, new=100)
    rollout.old, rollout.new = Seen("1"), Seen("2")
    assert "reset" in rollout.after(10).reason
    rollout.answer(old=100, new=100)
    assert rollout.after(9).action is Action.WAIT
    assert rollout.after(1).action is Action.STEP


def test_reference_is_all_that_the_old_version_answered_since_the_rollout_began():
    rollout = Rollout()
    rollout.answer(old=60, new=100)
    assert rollout.after(10).reason.startswith("p99_ratio not known yet")
    rollout.answer(old=40)
    assert rollout.after(1).action is Action.STEP
    rollout.next_step()
    rollout.answer(new=100)
    assert rollout.after(10).action is Action.STEP
