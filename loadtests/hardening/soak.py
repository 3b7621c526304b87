"""Mixed requests for minutes: every answer is the right one, and memory and open files stay flat."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx

from loadtests.hardening.mutations import mutants
from loadtests.hardening.reference import Reference, references
from loadtests.hardening.shape import error_problem
from loadtests.hardening.stack import MIB, Target
from loadtests.hardening.verdict import Verdict
from loadtests.hardening.watcher import watching

CLIENTS = 4
SETTLED = 0.25
"""Share of the run after which memory is read for the first time."""

MAX_GROWTH_MIB = 60.0
MAX_NEW_FILES = 20
WATCHED_KINDS = ("Gateway", "Classifier", "Detector", "Segmenter", "HAProxy")


@dataclass
class _Soak:
    """What the clients share."""

    target: Target
    wanted: list[Reference]
    ends_at: float
    outcomes: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])

    def run(self, offset: int) -> None:
        damaged = mutants(offset)
        number = offset
        with self.target.client() as client:
            while time.monotonic() < self.ends_at:
                reference = self.wanted[number % len(self.wanted)]
                try:
                    if number % 7 == 3:
                        self._check_error(client, next(damaged))
                    elif number % 11 == 5:
                        self._check_picture(client, reference)
                    else:
                        self._check_answer(client, reference)
                except httpx.HTTPError as error:
                    self.problems.append(type(error).__name__)
                number += 1

    def _check_answer(self, client: httpx.Client, reference: Reference) -> None:
        response = reference.ask(client)
        self.outcomes[str(response.status_code)] += 1
        problem = f"status {response.status_code}" if response.status_code != 200 else reference.problem(response)
        if problem:
            self.problems.append(problem)

    def _check_error(self, client: httpx.Client, image: bytes) -> None:
        response = client.post("/v1/classify", content=image, headers={"content-type": "image/jpeg"})
        self.outcomes[str(response.status_code)] += 1
        if response.status_code >= 400 and (
            problem := error_problem(response.status_code, response.headers, response.content)
        ):
            self.problems.append(problem)

    def _check_picture(self, client: httpx.Client, reference: Reference) -> None:
        response = client.post(
            reference.path, content=reference.image, headers={"content-type": "image/jpeg", "accept": "image/png"}
        )
        self.outcomes[f"{response.status_code} drawn"] += 1
        if response.status_code != 200 or not response.content.startswith(b"\x89PNG"):
            self.problems.append(f"drawn: status {response.status_code}")


def check_soak(target: Target, minutes: float) -> list[Verdict]:
    """Ask for so many minutes from `CLIENTS` clients.

    Args:
        target: The stack.
        minutes: How long.
    """
    with target.client() as client:
        wanted = references(client)
    soak = _Soak(target, wanted, time.monotonic() + minutes * 60)
    threads = [threading.Thread(target=soak.run, args=(number * 5,)) for number in range(CLIENTS)]
    with watching(target.port) as watched:
        for thread in threads:
            thread.start()
        time.sleep(minutes * 60 * SETTLED)
        early = _sizes(target)
        for thread in threads:
            thread.join()
    late = _sizes(target)
    outcomes = ", ".join(f"{outcome}: {number}" for outcome, number in sorted(soak.outcomes.items()))
    sizes = ", ".join(f"{name} {size[0]:.0f} → {late[name][0]:.0f} MiB" for name, size in early.items() if name in late)
    flat = "Gateway 1" in late and all(
        name in early and size[0] - early[name][0] < MAX_GROWTH_MIB and size[1] - early[name][1] < MAX_NEW_FILES
        for name, size in late.items()
    )
    return [
        Verdict(
            "soak",
            f"{soak.outcomes.total():,} mixed requests in {minutes:g} minutes, answers compared",
            f"{outcomes}; {len(soak.problems)} wrong; {watched}",
            not soak.problems,
            tuple(soak.problems[:5]),
        ),
        Verdict("soak", f"memory and open files after {SETTLED * minutes:g} and {minutes:g} minutes", sizes, flat),
    ]


def _sizes(target: Target) -> dict[str, tuple[float, int]]:
    """Resident MiB and open files of every process of the kinds that there are."""
    found: dict[str, tuple[float, int]] = {}
    for kind in WATCHED_KINDS:
        for number, process in enumerate(sorted(target.find_all(kind), key=lambda process: process.pid), 1):
            found[f"{kind} {number}"] = (process.memory_info().rss / MIB, process.num_fds())
    return found
