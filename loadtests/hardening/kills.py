"""Every process of the stack is killed under load: no wrong answer, errors in one shape, and the stack comes back."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import httpx

from loadtests.hardening.reference import Reference, references
from loadtests.hardening.shape import error_problem
from loadtests.hardening.stack import PROCESSES, Target
from loadtests.hardening.verdict import Verdict

CLIENTS = 4
SETTLE_S = 3.0
COME_BACK_S = 90.0
REFUSED = "refused"
"""No connection, or one that broke off."""

LAST = "raylet"
"""What the stack does not outlive: it says so and ends."""


@dataclass
class _Load:
    """Requests without a pause, whose answers are compared with what is known to be right."""

    target: Target
    wanted: list[Reference]
    outcomes: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])
    last_failure_at: float = 0.0
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, offset: int) -> None:
        with self.target.client(timeout_s=30.0) as client:
            number = offset
            while not self.stopped.is_set():
                self._ask(client, self.wanted[number % len(self.wanted)])
                number += 1

    def _ask(self, client: httpx.Client, reference: Reference) -> None:
        try:
            response = reference.ask(client)
        except httpx.HTTPError:
            self._failed(REFUSED)
            time.sleep(0.05)
            return
        if response.status_code == 200:
            self.outcomes["200"] += 1
            if problem := reference.problem(response):
                self.problems.append(problem)
            return
        if problem := error_problem(response.status_code, response.headers, response.content):
            self.problems.append(problem)
            self._failed(str(response.status_code))
        else:
            self._failed(f"{response.status_code} {response.json()['error']['code']}")
        time.sleep(0.05)

    def settle(self) -> bool:
        """Wait until no request has failed for `SETTLE_S`; False where that takes too long."""
        since = time.monotonic()
        give_up_at = since + COME_BACK_S
        while time.monotonic() - max(since, self.last_failure_at) < SETTLE_S:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(0.05)
        self.outcomes.clear()
        return True

    def _failed(self, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self.last_failure_at = time.monotonic()


def check_kills(target: Target) -> list[Verdict]:
    """Kill one process of each kind after the other; the last one ends the stack."""
    with target.client() as client:
        wanted = references(client)
    return [_kill(target, kind, wanted) for kind in PROCESSES if kind != LAST] + [_kill_last(target)]


def _kill(target: Target, kind: str, wanted: list[Reference]) -> Verdict:
    load = _Load(target, wanted)
    threads = [threading.Thread(target=load.run, args=(number * 5,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    settled = load.settle()
    process = target.find(kind)
    killed_at = time.monotonic()
    if process is not None:
        process.kill()
    returned_s = _wait_until_back(target, kind, process.pid if process else 0, killed_at)
    time.sleep(SETTLE_S)
    load.stopped.set()
    for thread in threads:
        thread.join()
    failing_s = max(0.0, load.last_failure_at - killed_at)
    if not settled:
        load.problems.append("requests failed before anything was killed")
    if process is None:
        load.problems.append("there was no such process")
    if returned_s is None:
        load.problems.append(f"not back within {COME_BACK_S:g} s")
    outcomes = ", ".join(f"{outcome}: {number}" for outcome, number in sorted(load.outcomes.items()))
    back = f"back after {returned_s:.1f} s" if returned_s is not None else "not back"
    return Verdict(
        "kills",
        f"SIGKILL of the {kind} under load",
        f"{outcomes}; last failure after {failing_s:.1f} s; {back}",
        not load.problems,
        tuple(load.problems[:5]),
    )


def _wait_until_back(target: Target, kind: str, killed_pid: int, killed_at: float) -> float | None:
    """Seconds until another process of this kind runs and `/readyz` says so; None where that does not happen."""
    with target.client(timeout_s=5.0) as client:
        while time.monotonic() - killed_at < COME_BACK_S:
            found = target.find(kind)
            with suppress(httpx.HTTPError):
                if found is not None and found.pid != killed_pid and client.get("/readyz").status_code == 200:
                    return time.monotonic() - killed_at
            time.sleep(0.1)
    return None


def _kill_last(target: Target) -> Verdict:
    process = target.find(LAST)
    killed_at = time.monotonic()
    if process is not None:
        process.kill()
    while target.system.is_running() and time.monotonic() - killed_at < COME_BACK_S:
        time.sleep(0.1)
    ended = not target.system.is_running()
    said = next((line for line in reversed(target.system.log_end().splitlines()) if line.startswith("error: ")), "")
    return Verdict(
        "kills",
        f"SIGKILL of the {LAST}",
        f"the stack ended after {time.monotonic() - killed_at:.1f} s: {said!r}" if ended else "the stack went on",
        process is not None and ended and bool(said),
    )
