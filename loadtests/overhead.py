"""Tapetum beside its peers, in one run on one machine: `make bench`, or `python -m loadtests.overhead --help`.

    classification  EfficientNet-Lite0: the adapter without a server (the floor), Tapetum, FastAPI with torch, LitServe,
                    mosec with the adapter
    detection       the same for yolo-person
    segmentation    the same for unet-person
    noop            a model that does nothing: Tapetum with everything switched on, bare FastAPI
    cache           answers that are in the cache: Tapetum, FastAPI with Redis
    protocols       Tapetum over HTTP (/v1 and /v2) and gRPC: the no-op model, and answers that are in the cache; only
                    where it is asked for (--only protocols), as there is no goal for it
    models          every bundled model in one Tapetum, and in that of another checkout (--checkout)
    evaluation      `tapetum evaluate` through the gateway and through the adapter

Each system is started on loopback, asked, and ended before the next one starts, and all of that several times over,
with another system first each time; the tables hold medians. Absolute figures belong to the machine, ratios carry over.
A full run appends its ratios to `loadtests/history.jsonl`; `make bench-compare` compares the last with the one before.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from loadtests import machine
from loadtests.bench import Bench, Conditions
from loadtests.contenders import ROOT
from loadtests.history import HISTORY, append, record_of
from loadtests.peers import Peer, interpreters
from loadtests.processes import SystemFailed
from loadtests.report import print_report, write_json
from loadtests.scenarios import SECTIONS
from loadtests.workloads import WORKLOADS
from services.configuration import TopologyError
from services.local.stack import DEFAULT_CONFIG

BUSY = 0.1
_WARM_UP_S = 0.5

console = Console(width=None if Console().is_terminal else 150)


class Section(StrEnum):
    """One of the comparisons, `loadtests.scenarios.SECTIONS`."""

    CLASSIFICATION = "classification"
    DETECTION = "detection"
    SEGMENTATION = "segmentation"
    NOOP = "noop"
    CACHE = "cache"
    PROTOCOLS = "protocols"
    MODELS = "models"
    EVALUATION = "evaluation"


@dataclass(frozen=True)
class Extent:
    """How long to measure.

    Attributes:
        repeats: Times that everything is measured.
        seconds: Length of each measured window.
    """

    repeats: int
    seconds: float


FULL = Extent(repeats=3, seconds=2.0)
QUICK = Extent(repeats=1, seconds=1.5)


class TimeIsUp(Exception):
    """The run has taken as long as it may."""


def overhead(
    quick: Annotated[bool, typer.Option("--quick", help="One repeat and short windows.")] = False,
    only: Annotated[list[Section] | None, typer.Option(help="Just this comparison; may be given again.")] = None,
    concurrency: Annotated[
        list[int] | None, typer.Option(min=1, max=256, help="May be given again: 1, 8 and 32.")
    ] = None,
    repeats: Annotated[int | None, typer.Option(min=1, max=20, help="Times that everything is measured.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, max=60, help="Length of each measured window.")] = None,
    config: Annotated[Path, typer.Option(help="Tapetum's Serve configuration file.")] = DEFAULT_CONFIG,
    peers: Annotated[
        list[Peer] | None,
        typer.Option("--with", help="Compare with this peer too; its environment is made. May be given again."),
    ] = None,
    checkout: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Of another commit: compare every bundled model with it."),
    ] = None,
    record: Annotated[
        bool | None,
        typer.Option("--record/--no-record", help="Append the ratios to the history; by default, if the run is full."),
    ] = None,
    json_file: Annotated[Path, typer.Option("--json", help="Takes everything that was measured.")] = ROOT
    / "runs"
    / "overhead.json",
    limit_minutes: Annotated[float, typer.Option(min=0.1, help="The run ends after this long, whatever is left.")] = 50,
) -> None:
    """Measure Tapetum beside a server-less floor and its peers, and say which goals it reaches."""
    sections = only or [section for section in Section if section is not Section.PROTOCOLS]
    given = QUICK if quick else FULL
    extent = Extent(repeats or given.repeats, seconds or given.seconds)
    about = machine.describe()
    if about["busy_before"] > BUSY:
        console.print(f"[yellow]this machine is {about['busy_before']:.0%} busy: the figures will be worth little")
    with tempfile.TemporaryDirectory(prefix="tapetum-bench-") as folder:
        conditions = Conditions(
            config=config.resolve(),
            concurrencies=tuple(concurrency or (1, 8, 32)),
            seconds=extent.seconds,
            warm_up_s=_WARM_UP_S,
            peers=interpreters(peers or (), console.print) if WORKLOADS.keys() & sections else {},
            checkout=checkout,
            folder=Path(folder),
            say=lambda line: console.print(line, highlight=False, markup=False),
        )
        bench = Bench(conditions)
        status = _run(bench, sections, extent.repeats, limit_minutes * 60)
    print_report(console, bench)
    shown = {
        **{name: value for name, value in asdict(conditions).items() if name not in ("folder", "say")},
        "repeats": extent.repeats,
        "command": " ".join(sys.argv),
    }
    write_json(json_file, about, shown, bench)
    console.print(f"written: {json_file}")
    is_full = not (only or quick or concurrency) and extent.repeats >= FULL.repeats
    if not status and (is_full if record is None else record):
        append(record_of(bench, about))
        console.print(f"the ratios are in {HISTORY.relative_to(ROOT)}: compare with make bench-compare")
    raise typer.Exit(status)


def _run(bench: Bench, sections: list[Section], repeats: int, limit_s: float) -> int:
    """Run the sections in turn; the exit status. What was measured before a failure is kept."""
    started_at = time.monotonic()
    try:
        with _bounded(limit_s):
            for repeat in range(repeats):
                for section in sections:
                    minutes = (time.monotonic() - started_at) / 60
                    console.rule(f"{section}, repeat {repeat + 1} of {repeats}, after {minutes:.1f} minutes")
                    SECTIONS[section](bench, repeat)
    except (SystemFailed, TopologyError) as error:
        console.print(f"[red]error[/red]: {error}", markup=True, highlight=False)
        return 1
    except TimeIsUp:
        console.print(f"[red]error[/red]: not done after {limit_s / 60:g} minutes")
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    return 0


@contextmanager
def _bounded(limit_s: float) -> Iterator[None]:
    """Raise TimeIsUp after so long, and KeyboardInterrupt on SIGTERM too, so that every system is ended either way."""

    def raise_time_is_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    before = {
        signal.SIGALRM: signal.signal(signal.SIGALRM, raise_time_is_up),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, signal.default_int_handler),
    }
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    typer.run(overhead)
