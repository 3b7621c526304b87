"""Measures what a gateway does with more images than its model can answer, in one process.

    python -m loadtests.simulated_overload
    python -m loadtests.simulated_overload --rate 3 --limit 3 --seconds 60

The gateway is the real one, asked over ASGI; its replica is simulated: the network sleeps. `by time limit` refuses what
would not be answered in its time, `by wait` what would wait for more than 5 s too, as a gateway does. Every image is
another, and comes at random (Poisson) whether or not earlier ones were answered. `lag` is how much too late the event
loop, which client and gateway share here, wakes up a task: on a busy machine a refusal takes as long, whatever decides.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import time
from dataclasses import dataclass, field
from typing import Final

import httpx
from PIL import Image

from loadtests.simulated_replica import MAX_BATCH_SIZE, SimulatedReplica
from services.gateway.app import create_app
from services.gateway.serving.registry import Registry
from services.log_lines import configure_logging
from services.model_deployment import ModelDeployment, ModelSpec
from services.settings import Settings
from services.topology import Topology

MODEL: Final = "simulated"


@dataclass
class Tally:
    """What became of the requests.

    Attributes:
        answered: Status 200 within the time limit.
        late: Status 504, or nothing within the time limit.
        refusals_s: How long each 503 took.
        answers_s: How long each answer took.
        lags_s: How much too late the event loop was, now and then.
        for_s: From the first request to the last answer.
    """

    answered: int = 0
    late: int = 0
    refusals_s: list[float] = field(default_factory=list[float])
    answers_s: list[float] = field(default_factory=list[float])
    lags_s: list[float] = field(default_factory=list[float])
    for_s: float = 0.0


def photo(number: int) -> bytes:
    """A small PNG file, of other bytes for each number."""
    file = io.BytesIO()
    Image.frombytes("RGB", (2, 1), number.to_bytes(6, "big")).save(file, "PNG")
    return file.getvalue()


async def ask(client: httpx.AsyncClient, number: int, limit_s: float, tally: Tally) -> None:
    """One request."""
    headers = {"content-type": "image/png", "x-request-timeout": str(limit_s)}
    started_at = time.monotonic()
    response = await client.post("/v1/classify", content=photo(number), headers=headers)
    took_s = time.monotonic() - started_at
    if response.status_code == 503:
        tally.refusals_s.append(took_s)
    elif response.status_code == 200 and took_s <= limit_s:
        tally.answered += 1
        tally.answers_s.append(took_s)
    else:
        tally.late += 1


async def watch_loop(tally: Tally) -> None:
    """Until cancelled."""
    while True:
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        tally.lags_s.append(time.monotonic() - due)


async def offer(image_s: float, rate: float, for_s: float, limit_s: float, max_wait_s: float) -> Tally:
    """Send images at `rate` a second for so long, and wait for the last answer."""
    replica = SimulatedReplica({MODEL: image_s})
    config = ModelDeployment.model_construct(
        name="Simulated", task="classification", models=(ModelSpec(name=f"{MODEL}@1"),), max_batch_size=MAX_BATCH_SIZE
    )
    settings = Settings(max_queue_wait_s=max_wait_s)
    registry = Registry(Topology.model_construct(deployments=(config,)), {"Simulated": replica}, max_wait_s)
    if not all((await registry.readiness()).values()):
        raise SystemExit("the simulated replica does not answer")
    transport = httpx.ASGITransport(create_app(settings, registry, None))
    chance, tally, started_at = random.Random(1), Tally(), time.monotonic()
    client = httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=None)
    async with client, asyncio.TaskGroup() as group:
        watch = asyncio.create_task(watch_loop(tally))
        number, due = 0, started_at
        while due < started_at + for_s:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(ask(client, number, limit_s, tally))
            number, due = number + 1, due + chance.expovariate(rate)
    watch.cancel()
    tally.for_s = time.monotonic() - started_at
    replica.close()
    return tally


def percentile_ms(values_s: list[float], share: float) -> str:
    """In milliseconds; a dash where there are none."""
    return f"{sorted(values_s)[int(share * (len(values_s) - 1))] * 1e3:.0f}" if values_s else "–"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--image-s", type=float, default=0.1, help="of the device for an image (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=2.0, help="in multiples of what it can do (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=40.0, help="for each row (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=10.0, help="time limit of a request (default: %(default)s)")
    told = parser.parse_args()
    configure_logging(Settings(log_level="error"))
    capacity = 1 / told.image_s
    print(
        "| admitted | offered/s | offered | admitted | in time | 504 | goodput "
        "| answer p99 ms | refusal p99 ms | lag p99 ms |\n" + "| --- " * 10 + "|"
    )
    for name, max_wait_s in (("by time limit", 1e9), ("by wait", Settings().max_queue_wait_s)):
        tally = asyncio.run(offer(told.image_s, told.rate * capacity, told.seconds, told.limit, max_wait_s))
        admitted = tally.answered + tally.late
        print(
            f"| {name} | {told.rate * capacity:.0f} | {admitted + len(tally.refusals_s)} | {admitted} "
            f"| {tally.answered} | {tally.late} | {tally.answered / tally.for_s / capacity:.0%} "
            f"| {percentile_ms(tally.answers_s, 0.99)} | {percentile_ms(tally.refusals_s, 0.99)} "
            f"| {percentile_ms(tally.lags_s, 0.99)} |"
        )


if __name__ == "__main__":
    main()
