"""Measures the CPU time per request of each process of a running stack, and the points that a simulation must meet.

    python -m loadtests.simulation.measure                       # replaces loadtests/simulation/measured.json
    python -m loadtests.simulation.measure --to /tmp/costs.json --seconds 5

It starts `tapetum serve` with the classifier alone, sends photos of 640×480, at one connection and at many, past the
cache and from it, and reads the CPU time of HAProxy, gateway, replica, Redis and all else through psutil. The time of
the network for a batch is CPU time of one thread. Measure on a machine that does nothing else: other programs make
latencies longer, and CPU times, too, for they share its caches.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import psutil
import torch
import typer
from rich.console import Console

from loadtests import machine
from loadtests.contenders import Contender, tapetum, with_one_model
from loadtests.hardening.stack import PROCESSES
from loadtests.load_plan import LoadPlan
from loadtests.measuring import Measurement, measure
from loadtests.photos import SMALL, photos
from loadtests.processes import LOOPBACK, RunningSystem, SystemFailed, get
from loadtests.simulation.costs import MEASURED, Measured, Point
from loadtests.simulation.fit import fit
from loadtests.systems.floor import adapter_of
from loadtests.workloads import CLASSIFICATION, WORKLOADS
from services.local.stack import DEFAULT_CONFIG
from services.serve_file import read_serve_file

HIT_BODIES: Final = 256
"""More than requests are ever in flight, so that no two of them ask for the same at the same time."""
NAMES: Final[Mapping[str, str]] = {
    "HAProxy": "HAProxy",
    "Gateway": "gateway",
    "Classifier": "replica",
    "cache": "Redis",
}
OTHERS: Final = "other"
console = Console(highlight=False)


@dataclass(frozen=True)
class Shot:
    """A window to measure.

    Attributes:
        name: For tables.
        connections: Of the load.
        hits: Whether the cache has the answers.
    """

    name: str
    connections: int
    hits: bool


LIGHT: Final = Shot("light, misses", 1, False)
BETWEEN: Final = Shot("in between, misses", 8, False)
BUSY: Final = Shot("near saturation, misses", 32, False)
LIGHT_HITS: Final = Shot("light, hits", 1, True)
BUSY_HITS: Final = Shot("near saturation, hits", 32, True)


def kind_of(process: psutil.Process) -> str:
    """Of which kind of `NAMES` a process is."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return OTHERS
    return next((name for kind, name in NAMES.items() if PROCESSES[kind] in command), OTHERS)


class Stack:
    """A running stack that is measured.

    Args:
        contender: How it is asked.
        system: Its processes.
        port: Where it listens.
        folder: Takes the bodies.
        seconds: Length of a window.
    """

    def __init__(self, contender: Contender, system: RunningSystem, port: int, folder: Path, seconds: float) -> None:
        self._contender = contender
        self._system = system
        self._port = port
        self._seconds = seconds
        self._kinds = {process.pid: kind_of(process) for process in system.processes()}
        self._idle = dict.fromkeys([*NAMES.values(), OTHERS], 0.0)
        self._files: list[str] = []
        for number, body in enumerate(photos(SMALL, CLASSIFICATION.pictures)):
            path = folder / f"photo-{number}.jpg"
            path.write_bytes(body)
            self._files.append(str(path))

    def idle_cores(self, seconds: float) -> dict[str, float]:
        """Cores that each kind of process uses without a request; later windows leave them out."""
        before = self._cpu_s()
        time.sleep(seconds)
        self._idle = {name: (used - before[name]) / seconds for name, used in self._cpu_s().items()}
        return self._idle

    def warm(self) -> None:
        """Fill the cache, and warm everything up."""
        for distinct, requests in ((HIT_BODIES, 2 * HIT_BODIES), (0, 200)):
            measure(self._plan(8, distinct, 60.0, requests), self._system)

    def point(self, shot: Shot) -> Point:
        """Measure one window."""
        counted, cpu_s, began = _counts(self._port), self._cpu_s(), time.monotonic()
        distinct = HIT_BODIES if shot.hits else 0
        measured = measure(self._plan(shot.connections, distinct, self._seconds), self._system)
        took_s, used_s, counts = time.monotonic() - began, self._cpu_s(), _counts(self._port)
        # The readings frame the whole run, its warm-up and its last answers included; so does `total_requests`.
        cpu_ms = {
            name: max(0.0, used_s[name] - cpu_s[name] - self._idle[name] * took_s) / measured.load.total_requests * 1e3
            for name in NAMES.values()
        }
        return _point(shot, measured, cpu_ms, {name: count - counted[name] for name, count in counts.items()})

    def _plan(self, connections: int, distinct: int, seconds: float, requests: int = 10**6) -> LoadPlan:
        path, headers = self._contender.path, dict(self._contender.headers)
        files = tuple(self._files)
        return LoadPlan(
            LOOPBACK, self._port, path, headers, files, connections, seconds, 0.5, requests, distinct=distinct
        )

    def _cpu_s(self) -> dict[str, float]:
        total = dict.fromkeys([*NAMES.values(), OTHERS], 0.0)
        for pid, used in self._system.cpu_s().items():
            total[self._kinds.get(pid, OTHERS)] += used
        return total


def _point(shot: Shot, measured: Measurement, cpu_ms: dict[str, float], change: Mapping[str, float]) -> Point:
    return Point(
        name=shot.name,
        connections=shot.connections,
        hits=float(shot.hits),
        requests_per_s=measured.requests_per_s,
        p50_ms=measured.load.p50_ms,
        p99_ms=measured.load.p99_ms,
        cpu_ms=cpu_ms,
        images_per_call=change["called"] / change["calls"] if change["calls"] else None,
        images_per_batch=change["images"] / change["executions"] if change["executions"] else None,
        client_ms=measured.load_cpu_ms or 0.0,
        other_cores=measured.other_cores,
    )


def _counts(port: int) -> dict[str, float]:
    """Counts since the start of the stack."""
    wanted = {
        "calls": "tapetum_call_images_count",
        "called": "tapetum_call_images_sum",
        "images": "tapetum_images_total",
        "executions": "tapetum_executions_total",
    }
    totals = dict.fromkeys(wanted, 0.0)
    for line in get(port, "/metrics")[1].decode().splitlines():
        series, _, value = line.rpartition(" ")
        for name, metric in wanted.items():
            if series.partition("{")[0] == metric:
                totals[name] += float(value)
    return totals


def batch_times_ms(config: Path) -> dict[int, float]:
    """CPU time of the network for a batch, on one thread, by the number of its images: the least of ten runs.

    Args:
        config: Serve configuration file, whose first model is run on photos of 640×480.
    """
    torch.set_num_threads(1)
    deployment = read_serve_file(config).topology.deployments[0]
    adapter = adapter_of(deployment)
    pictures = photos(SMALL, WORKLOADS[deployment.task].pictures)
    inputs = [adapter.preprocess(adapter.decode(photo)) for photo in pictures]
    return {
        size: min(_thread_ms(lambda n=size: adapter.forward(inputs[:n])) for _ in range(10)) for size in (1, 2, 4, 8)
    }


def _thread_ms(run: Callable[[], object]) -> float:
    before = time.thread_time()
    run()
    return (time.thread_time() - before) * 1e3


def main(
    to: Annotated[Path, typer.Option(help="File to write.")] = MEASURED,
    seconds: Annotated[float, typer.Option(min=1, max=60, help="Length of a window.")] = 8.0,
) -> None:
    """Measure, and write the costs and the points."""
    try:
        measured = measure_all(seconds)
    except SystemFailed as error:
        console.print(f"error: {error}", markup=False)
        raise typer.Exit(1) from None
    measured.write(to)
    console.print(measured.costs)
    console.print(f"written: {to}; compare with python -m loadtests.simulation --check --costs {to}")


def measure_all(seconds: float) -> Measured:
    """Measure everything.

    Args:
        seconds: Length of a window.

    Raises:
        SystemFailed: the stack did not start, or the load generator broke off.
    """
    about = machine.describe()
    with tempfile.TemporaryDirectory(prefix="tapetum-costs-") as name:
        folder = Path(name)
        config = with_one_model(DEFAULT_CONFIG, CLASSIFICATION.model, folder / "serve.yaml")
        contender = tapetum(config, "split")  # the simulated gateways and replicas are processes of their own
        batches = batch_times_ms(config)
        with contender.running(folder) as (system, port):
            stack = Stack(contender, system, port, folder, seconds)
            stack.warm()
            idle = stack.idle_cores(5.0)
            light, between, busy = (stack.point(shot) for shot in (LIGHT, BETWEEN, BUSY))
            light_hits, busy_hits = (stack.point(shot) for shot in (LIGHT_HITS, BUSY_HITS))
    costs = fit(light, busy, busy_hits, batches, sum(idle.values()))
    console.print(f"idle cores: {idle}\nnetwork, CPU ms by images: {batches}")
    return Measured(about, costs, (light, between, busy, light_hits, busy_hits))


if __name__ == "__main__":
    typer.run(main)
