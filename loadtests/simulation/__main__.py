"""Prints what to expect of a rate and a topology: `python -m loadtests.simulation --help`.

    python -m loadtests.simulation --rate 100
    python -m loadtests.simulation --rate 1000 --hits 0.5 --gateways 2 --haproxies 2 --replicas 12 --burst 3
    python -m loadtests.simulation --cores 2 --rate 60
    python -m loadtests.simulation --check
    python -m loadtests.simulation --check --costs loadtests/simulation/measured.json

Nothing is started: the service is simulated, with CPU times per request that were measured before. docs/scaling.md says
where those of `quiet.json` are from; `python -m loadtests.simulation.measure` measures others.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from loadtests.simulation.bursts import BURST_SHARE
from loadtests.simulation.costs import QUIET, Costs, Measured
from loadtests.simulation.run import VARIATION, Load, Outlook, simulate, simulate_point
from loadtests.simulation.service import Topology

console = Console(width=None if Console().is_terminal else 120, highlight=False)


def simulation(
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second.")] = 50.0,
    hits: Annotated[float, typer.Option(min=0, max=1, help="Share that the cache answers.")] = 0.0,
    burst: Annotated[
        float, typer.Option(min=1, max=1 / BURST_SHARE, help="Rate of a burst over the mean; a tenth of the time.")
    ] = 1.0,
    gateways: Annotated[int, typer.Option(min=1, help="Gateways.")] = 1,
    haproxies: Annotated[int, typer.Option(min=1, help="HAProxies, one a node.")] = 1,
    replicas: Annotated[int, typer.Option(min=1, help="Replicas of the model.")] = 1,
    streams: Annotated[int, typer.Option(min=1, help="Batches side by side in a replica.")] = 2,
    max_batch_size: Annotated[int, typer.Option(min=1, help="Most images in a batch.")] = 8,
    cores: Annotated[int, typer.Option(min=0, help="Cores of one machine; 0: a cluster with enough of them.")] = 0,
    gpu_batch_ms: Annotated[
        float, typer.Option(min=0, help="The network runs on a GPU: milliseconds for a batch. 0: on the CPU.")
    ] = 0.0,
    gpu_image_ms: Annotated[float, typer.Option(min=0, help="On top of it, for each image.")] = 0.0,
    seconds: Annotated[float, typer.Option(min=1, help="Simulated time.")] = 30.0,
    variation: Annotated[
        float, typer.Option(min=0, max=3, help="Standard deviation over mean of every step.")
    ] = VARIATION,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
    costs: Annotated[Path, typer.Option(exists=True, help="CPU times, and points to check.")] = QUIET,
    check: Annotated[bool, typer.Option("--check", help="Compare with the measured points instead.")] = False,
) -> None:
    """Simulate the service and print latency, throughput and CPU."""
    measured = Measured.read(costs)
    if check:
        console.print(check_table(measured))
        return
    figures = measured.costs
    if gpu_batch_ms or gpu_image_ms:
        figures = Costs(**{**vars(figures), "batch_ms": gpu_batch_ms, "network_image_ms": gpu_image_ms})
    topology = Topology(
        haproxies=haproxies,
        gateways=gateways,
        replicas=replicas,
        streams=streams,
        max_batch_size=max_batch_size,
        cores=cores or None,
        gpu=figures is not measured.costs,
    )
    load = Load(rate=rate, hits=hits, burst=burst)
    outlook = simulate(topology, figures, load, seconds=seconds, variation=variation, seed=seed)
    console.print(outlook_table(outlook))
    if not outlook.keeps_up:
        console.print("[bold]It does not keep up: requests in flight grow, and the latencies with the simulated time.")
        raise typer.Exit(1)


def outlook_table(outlook: Outlook) -> Table:
    """What to expect."""
    table = Table("answers/s", "p50 ms", "p99 ms", "in flight", "images a call", "images a batch")
    table.add_row(
        f"{outlook.requests_per_s:.1f}",
        figure(outlook.p50_ms),
        figure(outlook.p99_ms),
        figure(outlook.mean_in_flight),
        figure(outlook.images_per_call),
        figure(outlook.images_per_batch),
    )
    table.caption = "cores in use: " + ", ".join(f"{name} {used:.2f}" for name, used in outlook.cores.items())
    return table


def check_table(measured: Measured) -> Table:
    """Each measured point beside its simulation."""
    table = Table("point", "", "answers/s", "p50 ms", "p99 ms", "CPU ms", "images a call", "images a batch")
    topology = Topology(cores=measured.machine["cores"], haproxy_threads=measured.machine["cores"])
    for point in measured.points:
        outlook = simulate_point(measured.costs, point, topology)
        for kind, shown in (("measured", point), ("simulated", outlook)):
            table.add_row(
                f"{point.name}, {point.connections} connections" if shown is point else "",
                kind,
                f"{shown.requests_per_s:.1f}",
                figure(shown.p50_ms),
                figure(shown.p99_ms),
                f"{sum(shown.cpu_ms.values()):.2f}",
                figure(shown.images_per_call),
                figure(shown.images_per_batch),
            )
    return table


def figure(value: float | None) -> str:
    """One decimal; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.1f}"


if __name__ == "__main__":
    typer.run(simulation)
