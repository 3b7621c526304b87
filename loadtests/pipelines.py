"""The model host without a server around it: what threads, processes and batches cost by themselves.

    python -m loadtests.pipelines                            # the classifier, 8 and 32 at a time
    python -m loadtests.pipelines --model yolo-person --at-a-time 8

Each row is a number of processes and of device threads in each: every process runs the `ModelHost` of the
configuration, with its decoding pool, batcher and post-processing, on its share of a closed loop. There is no HTTP, no
gateway and no cache, so what a row lacks of the floor are threads, the GIL and batches that are not full; what the
service lacks of a row is everything else. Rows are measured in turn, several times; the table holds medians.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from loadtests.contenders import with_one_model
from loadtests.machine import wait_until_quiet
from loadtests.measuring import busy_s
from loadtests.statistic import percentile
from loadtests.workloads import SIZES, WORKLOADS, photos_of
from models.catalog.lookup import find
from services.local.stack import DEFAULT_CONFIG
from services.serve_file import read_serve_file

FOREVER_S: Final = 3600.0
WARM_UP_S: Final = 0.75
console = Console(width=None if Console().is_terminal else 130, highlight=False)


@dataclass(frozen=True)
class Shape:
    """How the work is spread.

    Attributes:
        processes: Processes.
        device_threads: Of each.
        threads: Threads of torch for one batch.
        wait_ms: How long a batch that is not full waits for further images.
        max_batch_size: Most images in a batch; 0: that of the configuration.
    """

    processes: int
    device_threads: int
    threads: int = 1
    wait_ms: float = 0.0
    max_batch_size: int = 0


SHAPES: Final = (
    Shape(1, 2),
    Shape(1, 2, wait_ms=5.0),
    Shape(1, 2, max_batch_size=4),
    Shape(2, 1),
    Shape(2, 1, wait_ms=5.0),
    Shape(2, 1, max_batch_size=4),
    Shape(1, 1, threads=2),
)


@dataclass(frozen=True)
class Ran:
    """What one process did in a window.

    Attributes:
        images: Answers.
        seconds: Length of the window.
        cpu_s: CPU time (user and system) of the process in it.
        executions: Runs of the network.
        other_cores: Cores that all other processes of the machine used, those of the same row included.
        latencies_ms: Of every answer.
    """

    images: int
    seconds: float
    cpu_s: float
    executions: float
    other_cores: float
    latencies_ms: list[float]


class Host:
    """A process with a model host.

    Args:
        shape: How the work is spread.
        config: Serve configuration file with one model.
        photos: Files.
    """

    def __init__(self, shape: Shape, config: Path, photos: Sequence[str]) -> None:
        plan = {"shape": asdict(shape), "config": str(config), "photos": list(photos)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.pipelines", "--host", json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def wait_until_ready(self) -> None:
        """Return when its model is warm."""
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.strip() == "ready":
                return
        raise SystemExit("a model host has ended")

    def start(self, at_a_time: int, seconds: float) -> None:
        """Begin a window."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([at_a_time, seconds]) + "\n")
        self._process.stdin.flush()

    def result(self) -> Ran:
        """The window that `start` began; blocks until its end."""
        assert self._process.stdout is not None
        return Ran(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def pipelines(
    model: Annotated[str, typer.Option(help="Name of a model of the catalog.")] = "efficientnet-lite0",
    photo: Annotated[str, typer.Option(help=f"Size of the photos: {' or '.join(SIZES)}.")] = "640×480",
    at_a_time: Annotated[list[int] | None, typer.Option(min=1, help="Images; may be given again: 1, 8 and 32.")] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of a window.")] = 3.0,
    repeats: Annotated[int, typer.Option(min=1, help="Windows of each row.")] = 3,
    patience_s: Annotated[float, typer.Option(min=0, help="Longest wait for a quiet machine before a window.")] = 10.0,
    host: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure the model host in several processes and threads."""
    if host is not None:
        asyncio.run(_serve(json.loads(host)))
        return
    with tempfile.TemporaryDirectory(prefix="tapetum-pipelines-") as name:
        folder = Path(name)
        config = with_one_model(DEFAULT_CONFIG, model, folder / "serve.yaml")
        files: list[str] = []
        for number, body in enumerate(photos_of(WORKLOADS[find(model).task])[photo]):
            path = folder / str(number)
            path.write_bytes(body)
            files.append(str(path))
        with _running(config, files) as hosts:
            for count in at_a_time or (1, 8, 32):
                console.print(_table(model, count, _measure(hosts, count, seconds, repeats, patience_s)))


@contextmanager
def _running(config: Path, files: list[str]) -> Iterator[dict[Shape, list[Host]]]:
    """The hosts of every shape, ready; those that have no window just now wait and use no CPU time."""
    with ExitStack() as stack:
        hosts: dict[Shape, list[Host]] = {}
        for shape in SHAPES:
            hosts[shape] = [stack.enter_context(closing(Host(shape, config, files))) for _ in range(shape.processes)]
            for host in hosts[shape]:
                host.wait_until_ready()
        yield hosts


def _measure(
    hosts: dict[Shape, list[Host]], count: int, seconds: float, repeats: int, patience_s: float
) -> dict[Shape, list[list[Ran]]]:
    found: dict[Shape, list[list[Ran]]] = {shape: [] for shape in hosts if shape.processes <= count}
    for _ in range(repeats):
        for shape, ran in found.items():
            wait_until_quiet(patience_s)
            for host in hosts[shape]:
                host.start(count // shape.processes, seconds)
            ran.append([host.result() for host in hosts[shape]])
    return found


def _table(model: str, count: int, found: dict[Shape, list[list[Ran]]]) -> Table:
    table = Table(
        *[field.name.replace("_", " ") for field in fields(Shape)],
        *("images/s", "CPU ms an image", "images a batch", "p50 ms", "p99 ms", "other cores"),
        title=f"{model}, {count} at a time",
    )
    for shape, windows in found.items():
        rows = list(zip(*(_figures(window) for window in windows), strict=True))
        table.add_row(*map(str, asdict(shape).values()), *(f"{median(values):.1f}" for values in rows))
    return table


def _figures(window: list[Ran]) -> tuple[float, ...]:
    images = sum(ran.images for ran in window)
    latencies_ms = sorted(itertools.chain.from_iterable(ran.latencies_ms for ran in window))
    return (
        sum(ran.images / ran.seconds for ran in window),
        sum(ran.cpu_s for ran in window) / images * 1e3,
        images / sum(ran.executions for ran in window),
        percentile(latencies_ms, 0.5),
        percentile(latencies_ms, 0.99),
        window[0].other_cores - sum(ran.cpu_s / ran.seconds for ran in window[1:]),
    )


async def _serve(plan: dict[str, Any]) -> None:
    """Be a host: a window for each line of standard input."""
    from services.deployments.host import ModelHost

    shape = Shape(**plan["shape"])
    deployment = read_serve_file(Path(plan["config"])).topology.deployments[0]
    given = {
        "num_device_threads": shape.device_threads,
        "num_threads": shape.threads,
        "batch_wait_timeout_s": shape.wait_ms / 1e3,
        "max_batch_size": shape.max_batch_size or deployment.max_batch_size,
    }
    model = ModelHost({**deployment.model_dump(mode="json"), **given})
    photos = itertools.cycle([Path(photo).read_bytes() for photo in plan["photos"]])
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(asdict(await _window(model, photos, *json.loads(line)))), flush=True)
    model.close()


async def _window(model: Any, photos: Iterator[bytes], at_a_time: int, seconds: float) -> Ran:
    from services.answers.wire import Item
    from services.kinds.completion import complete
    from services.telemetry import EXECUTIONS

    (described,) = model.describe()
    entry = find(described["name"])
    parameters = asdict(complete(entry.kind, {}, entry.defaults, described["class_names"]))
    counter = EXECUTIONS.labels(entry.task, entry.name, entry.version)
    latencies_ms: list[float] = []
    ends_at = time.perf_counter() + WARM_UP_S + seconds

    async def ask() -> None:
        while (sent_at := time.perf_counter()) < ends_at:
            (outcome,) = await model.predict([Item(entry.name, next(photos), parameters, time.time() + FOREVER_S)])
            if outcome.body is None:
                raise SystemExit(f"an image has no answer: {outcome.failure}")
            latencies_ms.append((time.perf_counter() - sent_at) * 1e3)

    asking = [asyncio.create_task(ask()) for _ in range(at_a_time)]
    await asyncio.sleep(WARM_UP_S)
    before = len(latencies_ms), time.perf_counter(), time.process_time(), counter._value.get(), busy_s()
    await asyncio.sleep(seconds)
    after = len(latencies_ms), time.perf_counter(), time.process_time(), counter._value.get(), busy_s()
    answered = latencies_ms[before[0] : after[0]]
    await asyncio.gather(*asking)
    images, took_s, cpu_s, executions, other_s = (later - earlier for earlier, later in zip(before, after, strict=True))
    return Ran(int(images), took_s, cpu_s, executions, other_s / took_s, answered)


if __name__ == "__main__":
    typer.run(pipelines)
