"""Runs the simulated service under a load, and reports what it showed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

import simpy

from loadtests.simulation.bursts import gaps_s
from loadtests.simulation.cores import Steps
from loadtests.simulation.costs import Costs, Point
from loadtests.simulation.service import Service, Topology
from loadtests.statistic import percentile

VARIATION: Final = 0.5
"""Standard deviation over mean of every step, unless told otherwise."""
WARM_UP_SHARE: Final = 0.2


@dataclass(frozen=True)
class Load:
    """What is asked of the service.

    Attributes:
        rate: Requests a second (an open loop); 0 where `connections` says how many are in flight.
        connections: Connections, each with one request in flight at all times (a closed loop); 0 for an open loop.
        hits: Share of requests that the cache answers.
        burst: Rate of a burst over the mean rate.
        client_ms: CPU time of the load generator for a request, on the same cores.
        other_cores: Cores that other programs use, likewise.
    """

    rate: float = 0.0
    connections: int = 0
    hits: float = 0.0
    burst: float = 1.0
    client_ms: float = 0.0
    other_cores: float = 0.0


@dataclass(frozen=True)
class Outlook:
    """What a simulation showed, in the window after its warm-up.

    Attributes:
        requests: Answers.
        requests_per_s: Answers a second.
        mean_ms: Mean latency.
        p50_ms: Median latency.
        p99_ms: 99th percentile.
        mean_in_flight: Requests in flight, over time.
        cpu_ms: CPU time per answer, by process.
        cores: Cores in use, by process.
        images_per_call: Mean; nan where there was none.
        images_per_batch: Mean, likewise.
        keeps_up: Whether the requests in flight did not grow over the window.
    """

    requests: int
    requests_per_s: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    mean_in_flight: float
    cpu_ms: dict[str, float]
    cores: dict[str, float]
    images_per_call: float
    images_per_batch: float
    keeps_up: bool


class Tally:
    """Counts requests while they happen.

    Args:
        env: Simulated time.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.latencies_s: list[float] = []
        self.in_flight = 0
        self.area = 0.0
        self._env = env
        self._since = 0.0

    def change(self, by: int) -> None:
        """A request begins or ends."""
        self.area += self.in_flight * (self._env.now - self._since)
        self._since = self._env.now
        self.in_flight += by

    def clear(self) -> None:
        """Forget everything but what is in flight."""
        self.change(0)
        self.area = 0.0
        self.latencies_s.clear()


def simulate(
    topology: Topology, costs: Costs, load: Load, *, seconds: float = 30.0, variation: float = VARIATION, seed: int = 1
) -> Outlook:
    """Run the simulated service.

    Args:
        topology: What stands where.
        costs: Of each step.
        load: What is asked of it.
        seconds: Simulated time, of which the first fifth is not counted.
        variation: Standard deviation over mean of every step.
        seed: Of the random numbers; equal seeds give equal results.
    """
    env, chance = simpy.Environment(), random.Random(seed)
    service = Service(
        env,
        topology,
        costs,
        hits=load.hits,
        chance=chance,
        variation=variation,
        client_ms=load.client_ms,
        other_cores=load.other_cores,
    )
    tally = Tally(env)
    if load.rate:
        env.process(_open_loop(service, tally, load, chance))
    for _ in range(load.connections):
        env.process(_closed_loop(service, tally))
    env.run(seconds * WARM_UP_SHARE)
    tally.clear()
    cpu_before, in_flight_before = service.cpu_s(), tally.in_flight
    env.run(seconds)
    tally.change(0)
    cpu_s = {name: used - cpu_before[name] for name, used in service.cpu_s().items()}
    return _outlook(service, tally, cpu_s, seconds * (1 - WARM_UP_SHARE), in_flight_before)


def simulate_point(costs: Costs, point: Point, topology: Topology, seconds: float = 12.0) -> Outlook:
    """Run a measured point on the machine that it was measured on."""
    load = Load(
        connections=point.connections, hits=point.hits, client_ms=point.client_ms, other_cores=point.other_cores
    )
    return simulate(topology, costs, load, seconds=seconds)


def _outlook(service: Service, tally: Tally, cpu_s: dict[str, float], seconds: float, in_flight_before: int) -> Outlook:
    ordered_s, answers = sorted(tally.latencies_s), max(1, len(tally.latencies_s))
    calls = sum(gateway.calls.calls for gateway in service.gateways)
    batches = sum(replica.batcher.batches for replica in service.replicas)
    return Outlook(
        requests=len(ordered_s),
        requests_per_s=len(ordered_s) / seconds,
        mean_ms=sum(ordered_s) / answers * 1e3,
        p50_ms=percentile(ordered_s, 0.5) * 1e3,
        p99_ms=percentile(ordered_s, 0.99) * 1e3,
        mean_in_flight=tally.area / seconds,
        cpu_ms={name: used / answers * 1e3 for name, used in cpu_s.items()},
        cores={name: used / seconds for name, used in cpu_s.items()},
        images_per_call=sum(gateway.calls.images for gateway in service.gateways) / calls if calls else float("nan"),
        images_per_batch=sum(replica.batcher.images for replica in service.replicas) / batches
        if batches
        else float("nan"),
        keeps_up=tally.in_flight - in_flight_before < 0.02 * answers + 50,
    )


def _open_loop(service: Service, tally: Tally, load: Load, chance: random.Random) -> Steps:
    for gap_s in gaps_s(load.rate, load.burst, chance):
        yield service.env.timeout(gap_s)
        service.env.process(_request(service, tally))


def _closed_loop(service: Service, tally: Tally) -> Steps:
    while True:
        yield from _request(service, tally)


def _request(service: Service, tally: Tally) -> Steps:
    began = service.env.now
    tally.change(+1)
    yield from service.request()
    tally.change(-1)
    tally.latencies_s.append(service.env.now - began)
