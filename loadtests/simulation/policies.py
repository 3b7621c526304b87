"""Compares policies of batching on two cores, by simulation: `python -m loadtests.simulation.policies --help`.

    python -m loadtests.simulation.policies
    python -m loadtests.simulation.policies --model yolo-person --max-batch-size 4 --shapes 4
    python -m loadtests.simulation.policies --batch-ms 0.4 --image-ms 5.05

For each topology and policy it prints answers a second, latencies, and images a batch, for a closed loop of 1, 8 and 32
connections. The network is that of the costs; or a model whose batches are timed here first, on one thread; or the line
that `--batch-ms` and `--image-ms` give.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from loadtests.contenders import with_one_model
from loadtests.simulation.batcher import Policy
from loadtests.simulation.costs import QUIET, Costs, Measured
from loadtests.simulation.fit import fit_batches
from loadtests.simulation.run import Load, Outlook, simulate
from loadtests.simulation.service import Topology
from services.local.stack import DEFAULT_CONFIG

CORES: Final = 2
TOPOLOGIES: Final[Mapping[str, Topology]] = {
    "split, 2 device threads": Topology(cores=CORES),
    "colocated, 1 × 2 device threads": Topology(cores=CORES, colocated=True),
    "colocated, 2 × 1, leastconn": Topology(cores=CORES, colocated=True, gateways=2, streams=1),
    "colocated, 2 × 1, roundrobin": Topology(cores=CORES, colocated=True, gateways=2, streams=1, balance="roundrobin"),
}
POLICIES: Final[Mapping[str, Policy]] = {
    "at once": Policy(),
    "2 ms": Policy("time", 0.002),
    "5 ms": Policy("time", 0.005),
    "10 ms": Policy("time", 0.010),
    "decoding, ≤ 10 ms": Policy("decoding", 0.010),
    "share, ≤ 5 ms": Policy("share", 0.005),
    "share, ≤ 20 ms": Policy("share", 0.020),
}
CLIENT_MS: Final = 0.06
"""CPU time of the load generator for a request, as in quiet.json."""

console = Console(width=None if Console().is_terminal else 130, highlight=False)


def policies(
    costs: Annotated[Path, typer.Option(exists=True, help="CPU times.")] = QUIET,
    model: Annotated[str | None, typer.Option(help="Time the batches of this model, in place of the costs'.")] = None,
    batch_ms: Annotated[float | None, typer.Option(min=0, help="Another network: milliseconds for a batch.")] = None,
    image_ms: Annotated[float | None, typer.Option(min=0, help="On top of it, for each image.")] = None,
    max_batch_size: Annotated[int, typer.Option(min=1, help="Most images in a batch.")] = 8,
    shapes: Annotated[int, typer.Option(min=1, help="Shapes of images, equally frequent.")] = 1,
    connections: Annotated[list[int] | None, typer.Option(min=1, help="May be given again: 1, 8 and 32.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Simulated time of each point.")] = 20.0,
) -> None:
    """Print a table for each number of connections."""
    if model is not None:
        batch_ms, image_ms = times_of(model)
        console.print(f"{model}: a batch takes {batch_ms:.2f} ms and {image_ms:.2f} ms for each image")
    figures = costs_of(costs, batch_ms, image_ms)
    for count in connections or (1, 8, 32):
        table = Table(
            "topology", "a batch waits", "answers/s", "p50 ms", "p99 ms", "images a batch", title=f"{count} connections"
        )
        for name, topology in TOPOLOGIES.items():
            for label, policy in POLICIES.items():
                given = replace(topology, policy=policy, shapes=shapes, max_batch_size=max_batch_size)
                table.add_row(name, label, *shown(outlook_of(given, figures, count, seconds)))
            table.add_section()
        console.print(table)


def outlook_of(topology: Topology, costs: Costs, connections: int, seconds: float) -> Outlook:
    """What a closed loop of so many connections shows."""
    return simulate(topology, costs, Load(connections=connections, client_ms=CLIENT_MS), seconds=seconds)


def costs_of(path: Path, batch_ms: float | None, image_ms: float | None) -> Costs:
    """Measured costs, perhaps with another network."""
    costs = Measured.read(path).costs
    given = {"batch_ms": batch_ms, "network_image_ms": image_ms}
    return replace(costs, **{name: value for name, value in given.items() if value is not None})


def times_of(model: str) -> tuple[float, float]:
    """Milliseconds of one thread for a batch of a model, and on top of it for each image; timed on this machine."""
    from loadtests.simulation.measure import batch_times_ms

    with tempfile.TemporaryDirectory() as folder:
        batches = batch_times_ms(with_one_model(DEFAULT_CONFIG, model, Path(folder) / "serve.yaml"))
    console.print(", ".join(f"{size} images {ms:.1f} ms" for size, ms in batches.items()))
    return fit_batches(batches)


def shown(outlook: Outlook) -> list[str]:
    """The cells of a row."""
    values = (outlook.requests_per_s, outlook.p50_ms, outlook.p99_ms, outlook.images_per_batch)
    return [f"{value:.1f}" for value in values]


if __name__ == "__main__":
    typer.run(policies)
