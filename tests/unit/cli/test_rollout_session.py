"""A rollout from its first step to its end, with a server and a clock that the test has in hand."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from services.cli.console import CommandError, Screen
from services.cli.rollout_session import LOST_S, Session
from services.client import TapetumError
from services.rollout.gate import Verdict
from services.rollout.guards import LiveFigures, Minimum, Seen, parse_guards
from services.rollout.schedule import Schedule, parse_steps
from services.rollout.traffic import Traffic

SCHEDULE = Schedule(
    steps=parse_steps("5,25,100"),
    guards=parse_guards("error_ratio<0.01,p99_ratio<1.2"),
    hold_s=20.0,
    minimum=Minimum(requests=50, feedback=20),
    timeout_s=120.0,
)
LOST = TapetumError("no server answers", "unreachable")


class Server:
    """A server with 100 requests a second, and the time that passes there.

    Attributes:
        done: What was asked of it, in order.
        fails: Share of the requests to the new version that fail.
        new_s: Latency of the new version.
        on_look: Called at every look at the metrics, with the seconds since the beginning.
    """

    def __init__(self, current: str = "1") -> None:
        self.done: list[str] = []
        self.now_s = 0.0
        self.weight = 0.0
        self.fails = 0.0
        self.new_s = 0.1
        self.verdict = Verdict(True, ("fine",))
        self.on_look: Callable[[float], None] = lambda _: None
        self._current = current
        self._old, self._new = Seen("1"), Seen("2")

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        new = round(self.weight * seconds)
        self._old = answering(self._old, round(100 * seconds) - new, 0.1)
        self._new = answering(self._new, new, self.new_s, round(new * self.fails))

    def current(self) -> str:
        return self._current

    def load(self, old: str) -> None:
        self.done.append(f"load beside {old}")

    def unload(self) -> None:
        self.done.append("unload")

    def gate(self, old: str) -> Verdict:
        return self.verdict

    def set_weight(self, weight: float) -> None:
        if weight != self.weight:
            self.done.append(f"weight {weight:g}")
        self.weight = weight

    def promote(self) -> None:
        self.done.append("promote")

    def roll_back(self, old: str) -> None:
        self.done.append(f"back to {old}")

    def look(self, old: str) -> tuple[Seen, Seen]:
        self.on_look(self.now_s)
        return self._old, self._new


def answering(seen: Seen, requests: int, latency_s: float, failed: int = 0) -> Seen:
    ok, broken = Traffic.of_request(latency_s, failed=False), Traffic.of_request(latency_s, failed=True)
    return replace(seen, traffic=Traffic.total([seen.traffic, *[ok] * (requests - failed), *[broken] * failed]))


def session(server: Server, schedule: Schedule = SCHEDULE, *, force: bool = False) -> tuple[Session, io.StringIO]:
    output = io.StringIO()
    screen = Screen(out=Console(file=output, width=400), err=Console(file=output))
    made = Session(server, "net", "2", schedule, force, screen, clock=lambda: server.now_s, sleep=server.sleep)
    return made, output


def test_version_that_keeps_the_guards_answers_all_requests_in_the_end():
    server = Server()
    rollout, output = session(server)
    assert rollout.run() == 0
    assert server.done == ["load beside 1", "weight 5", "weight 25", "weight 100", "promote"]
    assert "5 %: 100 requests to net@2: step" in output.getvalue()
    assert "  error_ratio 0 (below 0.01): 0 of 100 requests failed" in output.getvalue()
    assert output.getvalue().endswith("net@2 answers all requests; net@1 stays loaded\n")


def test_failing_version_is_rolled_back():
    server = Server()
    server.fails = 1.0
    rollout, output = session(server)
    assert rollout.run() == 1
    assert server.done == ["load beside 1", "weight 5", "back to 1"]
    assert server.now_s < SCHEDULE.hold_s, "at once"
    assert "rolling back: a guard broke: error_ratio" in output.getvalue()
    assert output.getvalue().endswith("net@1 answers all requests again; net@2 stays loaded and gets none\n")


def test_version_that_becomes_slow_at_a_later_step_is_rolled_back():
    server = Server()

    def slow_at_25(_: float) -> None:
        server.new_s = 0.1 if server.weight < 25 else 0.2

    server.on_look = slow_at_25
    rollout, output = session(server)
    assert rollout.run() == 1
    assert server.done == ["load beside 1", "weight 5", "weight 25", "back to 1"]
    assert "rolling back: a guard broke: p99_ratio 2" in output.getvalue()


def test_less_accurate_version_is_rolled_back():
    server = Server()
    server._old = replace(server._old, live=LiveFigures(500, {"top1": 0.9}))
    server._new = replace(server._new, live=LiveFigures(20, {"top1": 0.7}))
    rollout, output = session(server, replace(SCHEDULE, guards=parse_guards("live_accuracy_drop<0.02")))
    assert rollout.run() == 1
    assert "top1 0.9000 of 1, 0.7000 of 2" in output.getvalue()


def test_rollout_without_feedback_says_so_and_fails_at_its_time_limit():
    server = Server()
    rollout, output = session(server, replace(SCHEDULE, guards=parse_guards("live_accuracy_drop<0.02")))
    assert rollout.run() == 1
    assert server.done == ["load beside 1", "weight 5", "back to 1"]
    assert "waiting: live_accuracy_drop not known yet" in output.getvalue()
    assert "rolling back: not enough data within 120 s: live_accuracy_drop not known yet" in output.getvalue()


def test_interrupt_rolls_back():
    server = Server()

    def interrupt(now_s: float) -> None:
        if now_s > 30:
            raise KeyboardInterrupt

    server.on_look = interrupt
    rollout, output = session(server)
    assert rollout.run() == 130
    assert server.done == ["load beside 1", "weight 5", "weight 25", "back to 1"]
    assert "rolling back: interrupted" in output.getvalue()


def test_short_outage_of_the_server_is_tolerated():
    server = Server()

    def down_for_10_s(now_s: float) -> None:
        if 5 <= now_s < 15:
            raise LOST

    server.on_look = down_for_10_s
    rollout, _ = session(server)
    assert rollout.run() == 0


def test_lost_server_is_rolled_back_as_soon_as_it_answers():
    server = Server()

    def down(now_s: float) -> None:
        if now_s >= 5:
            raise LOST

    server.on_look = down
    rollout, output = session(server)
    assert rollout.run() == 1
    assert server.done[-1] == "back to 1"
    assert server.now_s == pytest.approx(4 + LOST_S, abs=2)
    assert "rolling back: the server refused or was lost: no server answers" in output.getvalue()


def test_server_that_stays_away_is_left_to_end_the_canary_itself():
    class Gone(Server):
        def roll_back(self, old: str) -> None:
            raise LOST

    server = Gone()
    server.fails = 1.0
    rollout, output = session(server)
    assert rollout.run() == 1
    assert "not rolled back: no server answers; the server ends the canary by itself" in output.getvalue()


def test_closed_gate_refuses_the_version_and_leaves_all_as_it_was():
    server = Server()
    server.verdict = Verdict(False, ("the version has no recorded evaluation",))
    rollout, output = session(server)
    with pytest.raises(CommandError, match="the gate is closed for net@2: evaluate it and net@1 on the same data"):
        rollout.run()
    assert server.done == ["load beside 1", "unload"]
    assert "gate: the version has no recorded evaluation" in output.getvalue()


def test_closed_gate_is_passed_by_force_and_says_so():
    server = Server()
    server.verdict = Verdict(False, ("the version has no recorded evaluation",))
    rollout, output = session(server, force=True)
    assert rollout.run() == 0
    assert "gate: closed, and passed by --force" in output.getvalue()


def test_version_that_is_at_100_percent_is_left_alone():
    server = Server(current="2")
    rollout, output = session(server)
    assert rollout.run() == 0
    assert server.done == []
    assert output.getvalue() == "net@2 answers all requests already\n"
