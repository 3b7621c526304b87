"""What each layer of a request costs: `python -m loadtests.layers --help`.

A gateway with the no-op model runs in one process without Ray, up to one layer after the other (`LAYERS` of
`loadtests.systems.layered_gateway`), and the CPU time per request is measured for each. What a layer adds is the
difference from the row above. Ray Serve's share is that of a deployment which answers a constant, with and behind
HAProxy.

    python -m loadtests.layers                               every layer, at concurrency 1, 8 and 32
    python -m loadtests.layers --hits                        the same for images that are in the result cache
    python -m loadtests.layers --only log --against ../main  all layers together, beside those of another checkout
    python -m loadtests.layers --only log --profile          the functions in which the time is spent

`CPU ms` is user and system time of the gateway's process and of Redis, per answer. All that is compared is measured in
turn, several times; tables hold medians.
"""

from __future__ import annotations

import json
import pstats
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer
from rich.console import Console
from rich.table import Table

from loadtests import machine
from loadtests.contenders import ROOT, Contender
from loadtests.load_plan import LoadPlan, filling
from loadtests.measuring import Measurement, measure
from loadtests.photos import body_of_100_kb
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed
from loadtests.scenarios import CACHED_BODIES
from loadtests.systems.layered_gateway import LAYERS, PROFILE, SERVER

RAY: Final = "Ray Serve"
HAPROXY: Final = "HAProxy"
_ROWS: Final = {SERVER: LAYERS[SERVER], RAY: "ingress of one replica", HAPROXY: "in front of it", **LAYERS}
_WARM_UP_S: Final = 0.5
SHOWN_MS: Final = 0.01
"""Programs that use less for a request are not printed."""
_PROFILED: Final = 45
"""Functions of a profile that are printed."""

MEASURED: Final = tuple(name for name in _ROWS if name != HAPROXY)

console = Console(width=None if Console().is_terminal else 150)


@dataclass(frozen=True)
class Row:
    """One figure's place in the table.

    Attributes:
        layer: The last layer of what was measured.
        checkout: Whose code.
        concurrency: Connections.
    """

    layer: str
    checkout: Path
    concurrency: int


@dataclass(frozen=True)
class Extent:
    """What is measured, and how long.

    Attributes:
        concurrencies: Connections.
        seconds: Length of each measured window.
        bodies: Files with the bodies of the requests.
        distinct: How many of the requests differ; 0: all.
    """

    concurrencies: Sequence[int]
    seconds: float
    bodies: tuple[str, ...]
    distinct: int


def layers(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Up to this layer; may be given again. {', '.join(MEASURED)}.")
    ] = None,
    concurrency: Annotated[list[int] | None, typer.Option(min=1, max=256, help="May be given again: 1, 8, 32.")] = None,
    hits: Annotated[bool, typer.Option("--hits", help="Images that are in the result cache.")] = False,
    repeats: Annotated[int, typer.Option(min=1, max=20, help="Times that everything is measured.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="Length of each measured window.")] = 1.5,
    against: Annotated[list[Path] | None, typer.Option(help="Another checkout of this repository.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time is spent; slows all down.")] = False,
    json_file: Annotated[Path, typer.Option("--json", help="Takes every figure.")] = ROOT / "runs" / "layers.json",
) -> None:
    """Measure the CPU time of each layer of the request path."""
    names = only or list(MEASURED)
    if unknown := set(names) - set(MEASURED):
        raise typer.BadParameter(f"there is no layer {unknown.pop()!r}; there are {', '.join(MEASURED)}")
    checkouts = [ROOT, *(path.resolve() for path in against or ())]
    figures: dict[Row, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tapetum-layers-") as folder:
        body = Path(folder) / "body.jpg"
        body.write_bytes(body_of_100_kb())
        extent = Extent(concurrency or (1, 8, 32), seconds, (str(body),), CACHED_BODIES if hits else 0)
        try:
            for turn in range(repeats):
                for layer in names:
                    for checkout in checkouts[turn % len(checkouts) :] + checkouts[: turn % len(checkouts)]:
                        _measure_layer(layer, checkout, extent, Path(folder), figures, profile)
        except SystemFailed as error:
            console.print(f"[red]error[/red]: {error}", highlight=False)
            raise typer.Exit(1) from None
    medians = {row: statistics.median(values) for row, values in figures.items()}
    for checkout in checkouts:
        console.print(table(medians, checkout, extent.concurrencies, checkouts[0]))
    json_file.parent.mkdir(parents=True, exist_ok=True)
    samples = [{**row.__dict__, "checkout": str(row.checkout), "cpu_ms": values} for row, values in figures.items()]
    document = {"machine": machine.describe(), "command": " ".join(sys.argv), "samples": samples}
    json_file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _measure_layer(
    layer: str, checkout: Path, extent: Extent, folder: Path, figures: dict[Row, list[float]], profile: bool
) -> None:
    """Start what ends at a layer, load it at each concurrency, and add its CPU time to the figures."""
    file = folder / "profile"
    environment = {"PYTHONPATH": str(checkout), **({PROFILE: str(file)} if profile else {})}
    module = "ray_ingress" if layer == RAY else "layered_gateway"
    # -P: not from the current folder
    command = [sys.executable, "-P", "-m", f"loadtests.systems.{module}", *([] if layer == RAY else [layer])]
    with Contender(layer, command, environment=environment).running(folder) as (system, port):
        watched = _ByProgram(system)
        plan = LoadPlan(
            LOOPBACK, port, "/v1/classify", {"Content-Type": "image/jpeg"}, extent.bodies, distinct=extent.distinct,
            concurrency=1, seconds=extent.seconds, warm_up_s=_WARM_UP_S,
        )  # fmt: skip
        if extent.distinct:
            measure(filling(LOOPBACK, port, plan.path, plan.headers, plan.bodies, extent.distinct), system)
        for concurrency in extent.concurrencies:
            measurement = measure(replace(plan, concurrency=concurrency), watched)
            _add(figures, Row(layer, checkout, concurrency), measurement, watched)
    if profile:
        pstats.Stats(str(file)).sort_stats("tottime").print_stats(_PROFILED)


def _add(figures: dict[Row, list[float]], row: Row, measurement: Measurement, watched: _ByProgram) -> None:
    requests = measurement.load.requests
    if not requests or measurement.load.errors:
        raise SystemFailed(f"{row.layer}: {measurement.load.first_error or 'no request was answered'}")
    by_program = {program: used / requests * 1e3 for program, used in watched.between().items()}
    haproxy = by_program.pop("haproxy", None)
    figures[row].append(sum(by_program.values()))
    if haproxy is not None:
        figures[replace(row, layer=HAPROXY)].append(sum(by_program.values()) + haproxy)
    shown = ", ".join(f"{program} {used:.3f}" for program, used in sorted(by_program.items()) if used > SHOWN_MS)
    busy = f", others {measurement.other_cores:.2f} cores" if measurement.other_cores > 0.1 else ""
    console.print(
        f"{row.checkout.name} {row.layer} at {row.concurrency}: {measurement.requests_per_s:.0f} requests/s, "
        f"CPU ms {shown}{busy}", highlight=False,
    )  # fmt: skip


class _ByProgram:
    """Reads the CPU time of a system, and keeps that of each program.

    Args:
        system: The system.
    """

    def __init__(self, system: RunningSystem) -> None:
        self._system = system
        self._readings: list[dict[psutil.Process, float]] = []

    def cpu_s(self) -> Mapping[int, float]:
        """See `RunningSystem.cpu_s`."""
        reading: dict[psutil.Process, float] = {}
        for process in self._system.processes():
            used = process.cpu_times()
            reading[process] = used.user + used.system
        self._readings.append(reading)
        return {process.pid: used for process, used in reading.items()}

    def between(self) -> dict[str, float]:
        """CPU seconds between the last two readings, by program."""
        before, after = self._readings[-2:]
        used: dict[str, float] = defaultdict(float)
        for process, now in after.items():
            used[process.name()] += now - before.get(process, 0.0)
        return dict(used)


def table(medians: Mapping[Row, float], checkout: Path, concurrencies: Sequence[int], reference: Path) -> Table:
    """The layers of a checkout, and what each adds.

    Args:
        medians: CPU milliseconds per request.
        checkout: Whose layers.
        concurrencies: In the order of the columns.
        reference: The checkout with which others are compared.
    """
    shown = Table(title=f"CPU ms per request, {checkout.name}")
    at = " / ".join(map(str, concurrencies))
    for title in ("up to layer", f"at {at}", "added", *([f"× {reference.name}"] if checkout != reference else []), ""):
        shown.add_column(title)
    measured = [layer for layer in _ROWS if all(Row(layer, checkout, each) in medians for each in concurrencies)]
    for layer in measured:
        rows = [Row(layer, checkout, concurrency) for concurrency in concurrencies]
        before = [each for each in measured[: measured.index(layer)] if layer == HAPROXY or each not in (RAY, HAPROXY)]
        added = [medians[row] - medians[replace(row, layer=before[-1])] if before else None for row in rows]
        ratios = [_joined([medians[row] / medians[replace(row, checkout=reference)] for row in rows], 2)]
        values = _joined([medians[row] for row in rows])
        shown.add_row(layer, values, _joined(added), *(ratios if checkout != reference else []), _ROWS[layer])
    return shown


def _joined(values: Sequence[float | None], digits: int = 3) -> str:
    return " / ".join("–" if value is None else f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    typer.run(layers)
