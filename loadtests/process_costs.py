"""CPU time per request of each kind of process of Tapetum and of mosec, and how full their batches are.

    python -m loadtests.process_costs
    python -m loadtests.process_costs --concurrency 8 --repeats 5 --config serve.yaml

Both serve the classifier with the same adapter, so what one spends more than the other is HTTP, the transport between
processes, smaller batches, or threads that wait for the GIL. Windows alternate between concurrencies; the table holds
medians. CPU time says more than photos a second where other programs run: `other cores` is what they used.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Final

import psutil
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from loadtests.contenders import MOSEC, TAPETUM, Contender, tapetum_without_cache, with_one_model
from loadtests.hardening.stack import PROCESSES
from loadtests.load_plan import LoadPlan
from loadtests.machine import wait_until_quiet
from loadtests.measuring import Measurement, measure
from loadtests.peers import Peer, interpreters
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed, get
from loadtests.workloads import WORKLOADS, photos_of
from models.entries import Task
from services.local.stack import DEFAULT_CONFIG

OTHERS: Final = "other"
KINDS: Final[Mapping[str, Mapping[str, str]]] = {
    TAPETUM: {PROCESSES[kind]: kind for kind in ("Gateway", "Classifier", "Detector", "Segmenter", "HAProxy", "cache")},
    MOSEC: {"bin/mosec ": "HTTP", "Decode ": "Decode", "Predict ": "Predict"},
}
"""A piece of the name and command line of a process, and its kind."""
BATCHES: Final[Mapping[str, tuple[str, str]]] = {
    TAPETUM: ("tapetum_images_total", "tapetum_executions_total"),
    MOSEC: ("mosec_service_batch_size_sum", "mosec_service_batch_size_count"),
}
"""Metrics: images in batches, and batches."""
PHOTO: Final = "640×480"
WARM_UP_S: Final = 0.5
console = Console(width=None if Console().is_terminal else 130, highlight=False)


@dataclass(frozen=True)
class Window:
    """One window.

    Attributes:
        requests_per_s: Answers a second.
        other_cores: Cores that programs without a part in it used.
        cpu_ms: CPU time per answer, by kind of process.
        images_per_batch: Mean.
    """

    requests_per_s: float
    other_cores: float
    cpu_ms: dict[str, float]
    images_per_batch: float


class Kinds:
    """Reads the CPU time of a system by kind of process.

    Args:
        system: The system.
        kinds: See `KINDS`.
    """

    def __init__(self, system: RunningSystem, kinds: Mapping[str, str]) -> None:
        self._system = system
        self._kinds = kinds
        self.seen: list[dict[str, float]] = []

    def cpu_s(self) -> dict[int, float]:
        """CPU time by process; what it was by kind is kept in `seen`."""
        times = self._system.cpu_s()
        total: defaultdict[str, float] = defaultdict(float)
        for process in self._system.processes():
            with suppress(psutil.Error):
                total[self._kind(f"{process.name()} {' '.join(process.cmdline())} ")] += times.get(process.pid, 0.0)
        self.seen.append(dict(total))
        return times

    def _kind(self, command: str) -> str:
        return next((kind for piece, kind in self._kinds.items() if piece in command), OTHERS)


def process_costs(
    task: Annotated[str, typer.Option(help=f"Whose model is served: {', '.join(WORKLOADS)}.")] = "classification",
    system: Annotated[str | None, typer.Option(help=f"{TAPETUM} or {MOSEC}; by default both.")] = None,
    concurrency: Annotated[list[int] | None, typer.Option(min=1, help="May be given again: 1, 8 and 32.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Windows of each concurrency.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of a window.")] = 3.0,
    patience_s: Annotated[float, typer.Option(min=0, help="Longest wait for a quiet machine before a window.")] = 10.0,
    config: Annotated[Path, typer.Option(exists=True, help="Tapetum's Serve configuration file.")] = DEFAULT_CONFIG,
) -> None:
    """Print a table for each system."""
    workload = WORKLOADS[_task(task)]
    counts = tuple(concurrency or (1, 8, 32))
    with tempfile.TemporaryDirectory(prefix="tapetum-costs-") as name:
        folder = Path(name)
        one = with_one_model(config, workload.model, folder / "serve.yaml")
        files: list[str] = []
        for number, body in enumerate(photos_of(workload)[PHOTO]):
            (folder / str(number)).write_bytes(body)
            files.append(str(folder / str(number)))
        contenders = [tapetum_without_cache(one, workload)]
        peers = interpreters([Peer.MOSEC], console.print)
        contenders += [peer.contender(python, workload, one) for peer, python in peers.items()]
        for contender in contenders:
            if system is not None and contender.name.lower() != system.lower():
                continue

            def plan(port: int, count: int, contender: Contender = contender) -> LoadPlan:
                headers = dict(contender.headers)
                return LoadPlan(LOOPBACK, port, contender.path, headers, tuple(files), count, seconds, WARM_UP_S)

            try:
                with contender.running(folder) as (running, port):
                    found = _windows(contender.name, running, port, plan, counts, repeats, patience_s)
            except SystemFailed as error:
                console.print(f"error: {error}", markup=False)
                raise typer.Exit(1) from None
            console.print(_table(contender.name, found))


def _task(name: str) -> Task:
    for task in WORKLOADS:
        if task == name:
            return task
    raise typer.BadParameter(f"{name} is none of {', '.join(WORKLOADS)}")


def _windows(
    name: str,
    system: RunningSystem,
    port: int,
    plan: Callable[[int, int], LoadPlan],
    counts: tuple[int, ...],
    repeats: int,
    patience_s: float,
) -> dict[int, list[Window]]:
    found: dict[int, list[Window]] = {count: [] for count in counts}
    measure(plan(port, 2), system)  # warms up
    for _ in range(repeats):
        for count in counts:
            kinds = Kinds(system, KINDS[name])
            wait_until_quiet(patience_s)
            before = _batches(name, port)
            measured = measure(plan(port, count), kinds)
            images, runs = (after - earlier for earlier, after in zip(before, _batches(name, port), strict=True))
            found[count].append(_window(measured, kinds, images / max(1.0, runs)))
    return found


def _window(measured: Measurement, kinds: Kinds, images_per_batch: float) -> Window:
    before, after = kinds.seen
    answers = max(1, measured.load.requests)
    cpu_ms = {kind: (after[kind] - before.get(kind, 0.0)) / answers * 1e3 for kind in after}
    return Window(measured.requests_per_s, measured.other_cores, cpu_ms, images_per_batch)


def _batches(name: str, port: int) -> list[float]:
    """Images in batches so far, and batches."""
    totals = dict.fromkeys(BATCHES[name], 0.0)
    for family in text_string_to_metric_families(get(port, "/metrics")[1].decode()):
        for sample in family.samples:
            if sample.name in totals:
                totals[sample.name] += sample.value
    return list(totals.values())


def _table(name: str, found: dict[int, list[Window]]) -> Table:
    kinds = sorted({kind for windows in found.values() for window in windows for kind in window.cpu_ms})
    table = Table("at a time", "req/s", "other cores", "images a batch", "CPU ms", *kinds, title=name)
    for count, windows in found.items():
        values = [
            [window.requests_per_s, window.other_cores, window.images_per_batch, sum(window.cpu_ms.values())]
            + [window.cpu_ms.get(kind, 0.0) for kind in kinds]
            for window in windows
        ]
        table.add_row(str(count), *(f"{median(column):.2f}" for column in zip(*values, strict=True)))
    return table


if __name__ == "__main__":
    typer.run(process_costs)
