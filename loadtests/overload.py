"""Measures what a real service does with twice the requests that it can answer.

    python -m loadtests.overload
    python -m loadtests.overload --times 4 --seconds 30 --svg docs/images/open-loop-overload.svg

Starts Tapetum with one classifier and no cached answers, finds its highest rate (`loadtests.open_loop`), and then sends
half of that rate, the overload, and half of it again. What must hold:

    refusals    429 and 503 within 50 ms at p99, from when the request was due
    goodput     at least 0.9 of the most that was answered a second while the rate was searched
    memory      no process of the stack grows by more than 60 MiB
    recovery    normal again within 5 s
    failures    nothing but answers and refusals

The program that sends shares the cores with the service: how late it was is in every latency, and printed beside them.
`python -m loadtests.simulated_overload` is the same for the gateway alone, with a replica that sleeps.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from loadtests import machine
from loadtests.arrivals import Offered, offer
from loadtests.contenders import tapetum_without_cache, with_one_model
from loadtests.goals import Goal, judged
from loadtests.load_charts import overload_chart
from loadtests.load_plan import ArrivalPlan, RequestPlan
from loadtests.open_loop import Curve, Effort, Kind, console, say, search, write_bodies
from loadtests.overload_run import Overload, Phases, overload_of, per_second
from loadtests.photos import SMALL, photos
from loadtests.point import Bounds
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed
from loadtests.report import figure, goal_table
from loadtests.workloads import CLASSIFICATION
from services.local.stack import DEFAULT_CONFIG

MOST_REFUSAL_MS: Final = 50.0
LEAST_GOODPUT: Final = 0.9
MOST_GROWTH_MIB: Final = 60.0
MOST_RECOVERY_S: Final = 5.0
CONNECTIONS: Final = 1024
"""More than a gateway admits, so that no refusal waits for a connection."""

_MIB: Final = 2**20


def goals_of(shown: Overload, peak: float, growth_mib: float) -> list[Goal]:
    """What must hold, and whether it does.

    Args:
        shown: The figures of the overload.
        peak: Most answers a second at any lower rate.
        growth_mib: Memory by which the process that grew most did.
    """
    refusals = shown.refusal_p99_ms if shown.refused else None
    return [
        judged(f"p99 of {shown.refused} refusals, ms", "≤", MOST_REFUSAL_MS, refusals),
        judged("goodput, of its peak", "≥", LEAST_GOODPUT, shown.goodput / peak),
        judged("memory, growth of the process that grew most, MiB", "≤", MOST_GROWTH_MIB, growth_mib),
        judged("normal again, seconds after the overload", "≤", MOST_RECOVERY_S, shown.normal_after_s),
        judged("requests that were neither answered nor refused", "≤", 0, shown.failed),
    ]


@contextmanager
def watched_memory(system: RunningSystem) -> Iterator[Callable[[], float]]:
    """Watch the resident memory of each process of a system, once a second.

    Yields:
        Gives the MiB by which the process that grew most has grown since the beginning.
    """
    first: dict[int, int] = {}
    growth = [0]
    done = threading.Event()

    def look() -> None:
        for process in system.processes():
            with suppress(psutil.Error):
                held = process.memory_info().rss
                growth[0] = max(growth[0], held - first.setdefault(process.pid, held))

    def watch() -> None:
        while not done.wait(1.0):
            look()

    look()
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: growth[0] / _MIB
    finally:
        done.set()
        thread.join()


@dataclass(frozen=True)
class Run:
    """One overload of a service.

    Attributes:
        curve: How its highest rate was found.
        phases: What was sent.
        offered: What came of it.
        growth_mib: See `watched_memory`.
    """

    curve: Curve
    phases: Phases
    offered: Offered
    growth_mib: float

    @property
    def peak(self) -> float:
        """Most answers a second of any whole point on the way to the highest rate."""
        return max(point.goodput for point in self.curve.points if point.ended_early is None)


def run_overload(system: RunningSystem, requests: RequestPlan, effort: Effort, times: float, seconds: float) -> Run:
    """Find the highest rate of a service that runs, and send a multiple of it.

    Args:
        system: Its processes.
        requests: What is sent.
        effort: How the highest rate is found.
        times: How many times that rate is sent.
        seconds: For how long.

    Raises:
        SystemFailed: no rate is within bounds, or the load generator broke off.
    """
    curve = search("Tapetum", Kind.MISSES, requests, effort)
    if curve.found.rate is None:
        raise SystemFailed("no rate is within bounds, so there is none to exceed")
    rate = curve.found.rate
    phases = Phases(rate / 2, rate * times, calm_s=5.0, overload_s=seconds, recovery_s=12.0)
    time.sleep(2.0)
    with watched_memory(system) as growth_mib:
        plan = ArrivalPlan(**vars(requests), phases=phases.rates, connections=CONNECTIONS, max_unanswered=100_000)
        offered = offer(plan)
        return Run(curve, phases, offered, growth_mib())


def print_run(run: Run, shown: Overload, goals: Sequence[Goal]) -> None:
    """Print the figures, and what must hold."""
    say(
        f"highest rate {figure(run.curve.found.rate)}/s, most answered {figure(run.peak)}/s; "
        f"{figure(run.phases.overload_rate)}/s for {run.phases.overload_s:g} s: {shown.offered} requests, "
        f"{shown.answered} answered ({figure(shown.goodput)}/s, p99 {figure(shown.answer_p99_ms)} ms), "
        f"{shown.refused} refused (p50 {figure(shown.refusal_p50_ms)}, p99 {figure(shown.refusal_p99_ms)} ms), "
        f"{shown.failed} failed; the generator was late by {figure(shown.late_p50_ms)} ms at p50, "
        f"{figure(shown.late_p99_ms)} ms at p99"
    )
    if run.offered.first_error:
        say(f"first refusal or failure: {run.offered.first_error}")
    console.print(goal_table(goals))


def overload(
    times: Annotated[float, typer.Option(min=1, max=20, help="Overload, in multiples of the highest rate.")] = 2.0,
    seconds: Annotated[float, typer.Option(min=3, max=300, help="Length of the overload.")] = 20.0,
    limit_s: Annotated[float, typer.Option(min=0.1, max=120, help="Time limit of a request.")] = 2.0,
    p99_ms: Annotated[float, typer.Option(min=1, help="Bound of the search for the highest rate.")] = 500.0,
    config: Annotated[Path, typer.Option(help="Serve configuration, cut down to one classifier.")] = DEFAULT_CONFIG,
    svg: Annotated[Path | None, typer.Option(help="Takes the chart.")] = None,
) -> None:
    """Measure what a real service does with twice the requests that it can answer."""
    about = machine.describe()
    effort = Effort(Bounds(p99_ms=p99_ms, late_ms=p99_ms / 5), seconds=6.0)
    try:
        with tempfile.TemporaryDirectory(prefix="tapetum-overload-") as name:
            folder = Path(name)
            config = with_one_model(config, CLASSIFICATION.model, folder / "config.yaml")
            contender = tapetum_without_cache(config, CLASSIFICATION)
            contender = replace(contender, headers={**contender.headers, "X-Request-Timeout": f"{limit_s:g}"})
            files = write_bodies(photos(SMALL, CLASSIFICATION.pictures), folder)
            with contender.running(folder) as (system, port):
                requests = RequestPlan(LOOPBACK, port, contender.path, dict(contender.headers), files)
                run = run_overload(system, requests, effort, times, seconds)
    except SystemFailed as error:
        console.print(f"[red]error[/red]: {error}", highlight=False)
        raise typer.Exit(1) from None
    shown = overload_of(run.offered, run.phases, p99_ms)
    goals = goals_of(shown, run.peak, run.growth_mib)
    print_run(run, shown, goals)
    console.print(f"busy before: {about['busy_before']:.0%} of the machine")
    if svg:
        seconds_of, curves = per_second(run.offered.arrivals, run.phases.end_s)
        svg.write_text(overload_chart(seconds_of, curves, f"{times:g} times the highest rate"), encoding="utf-8")
        console.print(f"written: {svg}")
    raise typer.Exit(0 if all(goal.met for goal in goals) else 1)


if __name__ == "__main__":
    typer.run(overload)
