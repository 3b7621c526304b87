"""Measures what a fast model's answers take beside a slow model of the same deployment, in one process.

    python -m loadtests.fairness

The replica is simulated (its networks sleep), the coalescer and the batcher are the real ones. `one coalescer` is what
a deployment had once, `one a model` is what it has.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from loadtests.simulated_replica import MAX_BATCH_SIZE, SimulatedReplica
from services.answers.wire import Item, Outcome
from services.gateway.serving.coalescer import Coalescer
from services.gateway.serving.registry import calls_to
from services.model_deployment import ModelDeployment
from services.replica_scale import GatewayScale

SLOW, FAST = "slow", "fast"
IMAGE_S: Final = {SLOW: 0.1, FAST: 0.005}
CLIENTS: Final = {SLOW: 8, FAST: 2}
_CONFIG: Final = ModelDeployment.model_construct(name="Simulated", max_batch_size=MAX_BATCH_SIZE)


class Calls(Protocol):
    """The way to a replica."""

    async def submit(self, item: Item) -> Outcome:
        """The outcome of one image."""
        ...


def one_coalescer(replica: SimulatedReplica) -> dict[str, Calls]:
    """Calls that images of all models share."""
    shared: Coalescer[Item, Outcome] = Coalescer(
        replica.predict, max_items=MAX_BATCH_SIZE, receivers=1, coalesce_wait_s=GatewayScale().coalesce_wait_s
    )
    return dict.fromkeys(IMAGE_S, shared)


def one_a_model(replica: SimulatedReplica) -> dict[str, Calls]:
    """Calls of each model, as a gateway has them."""
    return {model: calls_to(replica, GatewayScale(), _CONFIG, float("inf")) for model in IMAGE_S}


async def latencies_s(calls: dict[str, Calls], clients: dict[str, int], for_s: float) -> list[float]:
    """Seconds that each answer of the fast model took; every client sends its next image when it has an answer."""
    ends_at = time.monotonic() + for_s
    took_s: list[float] = []

    async def client(model: str) -> None:
        while (started_at := time.monotonic()) < ends_at:
            await calls[model].submit(Item(model, b"", {}, time.time() + 60))
            if model == FAST:
                took_s.append(time.monotonic() - started_at)

    await asyncio.gather(*(client(model) for model, count in clients.items() for _ in range(count)))
    return took_s


def measure(way: Callable[[SimulatedReplica], dict[str, Calls]], clients: dict[str, int], for_s: float) -> list[float]:
    """See `latencies_s`; sorted."""
    replica = SimulatedReplica(IMAGE_S)
    try:
        return sorted(asyncio.run(latencies_s(way(replica), clients, for_s)))
    finally:
        replica.close()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="for each row (default: %(default)s)")
    for_s: float = parser.parse_args().seconds
    alone = {FAST: CLIENTS[FAST]}
    rows: list[tuple[str, Callable[[SimulatedReplica], dict[str, Any]], dict[str, int]]] = [
        ("alone", one_a_model, alone),
        ("beside slow, one coalescer", one_coalescer, CLIENTS),
        ("beside slow, one a model", one_a_model, CLIENTS),
    ]
    print("| fast model | answers | median ms | p95 ms |\n| --- | --- | --- | --- |")
    for name, way, clients in rows:
        took_s = measure(way, clients, for_s)
        p95 = took_s[int(0.95 * (len(took_s) - 1))]
        print(f"| {name} | {len(took_s)} | {statistics.median(took_s) * 1e3:.0f} | {p95 * 1e3:.0f} |")


if __name__ == "__main__":
    main()
