"""The simulated service: HAProxy, gateways, Redis and model replicas, with a request's way through them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import simpy

from loadtests.simulation.batcher import Policy, SimulatedBatcher
from loadtests.simulation.coalescer import Image, SimulatedCoalescer
from loadtests.simulation.cores import Cores, Process, Steps, Times
from loadtests.simulation.costs import Costs


@dataclass(frozen=True)
class Topology:
    """What stands where.

    Attributes:
        haproxies: HAProxies, one a node.
        haproxy_threads: Threads of each.
        gateways: Gateways.
        replicas: Replicas of the model.
        streams: Batches that run side by side in a replica.
        pool_threads: Threads of a replica that decode and post-process.
        max_batch_size: Most images in a batch.
        coalesce_wait_s: How long the second call of a replica waits for further images.
        cores: Cores of the one machine that all run on; None: a cluster, where no thread waits for a core.
        gpu: The network runs on a device of its own and uses no core.
        colocated: Each gateway has one replica in its own process, and no other; `replicas` has no meaning then.
        balance: How HAProxy chooses a gateway.
        policy: When a batch that is not full is run.
        shapes: Shapes of images, equally frequent; only images of one shape share a batch.
    """

    haproxies: int = 1
    haproxy_threads: int = 2
    gateways: int = 1
    replicas: int = 1
    streams: int = 2
    pool_threads: int = 2
    max_batch_size: int = 8
    coalesce_wait_s: float = 0.003
    cores: int | None = None
    gpu: bool = False
    colocated: bool = False
    balance: Literal["leastconn", "roundrobin"] = "leastconn"
    policy: Policy = field(default_factory=Policy)
    shapes: int = 1


class Replica:
    """A model replica.

    Args:
        env: Simulated time.
        topology: Sizes.
        costs: Of each step.
        cores: What it runs on.
        times: Draws how long work takes.
        chance: Chooses the shapes of images.
    """

    def __init__(
        self,
        env: simpy.Environment,
        topology: Topology,
        costs: Costs,
        cores: Cores,
        times: Times,
        chance: random.Random,
    ) -> None:
        self.calls = 0
        self.loop = Process(env, cores, times)
        self.pool = Process(env, cores, times, topology.pool_threads)
        self.network = Process(env, Cores(env, None) if topology.gpu else cores, times, topology.streams)
        self.batcher = SimulatedBatcher(
            env,
            self._run,
            max_batch_size=topology.max_batch_size,
            streams=topology.streams,
            policy=topology.policy,
        )
        self._env = env
        self._costs = costs
        self._shapes = topology.shapes
        self._chance = chance

    def predict(self, images: int) -> Steps:
        """Answer a call with so many images."""
        self.calls += 1
        yield from self.loop.work(self._costs.replica_call_ms / 1e3)
        yield simpy.AllOf(self._env, [self._env.process(self.answer()) for _ in range(images)])
        self.calls -= 1

    def answer(self) -> Steps:
        """Answer one image."""
        self.batcher.expect()
        yield from self.pool.work(self._costs.replica_image_ms / 1e3)
        shape = self._chance.randrange(self._shapes) if self._shapes > 1 else 0
        yield self.batcher.submit(shape, was_expected=True)

    def _run(self, images: int) -> Steps:
        yield from self.network.work(self._costs.batch_time_ms(images) / 1e3)


class Gateway:
    """A gateway, with its calls to the replicas.

    Args:
        env: Simulated time.
        topology: Sizes.
        costs: Of each step.
        cores: What it runs on.
        times: Draws how long work takes.
        replicas: Whom it calls.
        chance: Chooses among them.
    """

    def __init__(
        self,
        env: simpy.Environment,
        topology: Topology,
        costs: Costs,
        cores: Cores,
        times: Times,
        replicas: list[Replica],
        chance: random.Random,
    ) -> None:
        self.requests = 0
        self.loop = Process(env, cores, times)
        self.calls = SimulatedCoalescer(
            env,
            self._send,
            max_items=topology.max_batch_size * topology.streams,
            receivers=topology.replicas,
            coalesce_wait_s=topology.coalesce_wait_s,
        )
        self._costs = costs
        self._replicas = replicas
        self._chance = chance

    def _send(self, images: list[Image]) -> Steps:
        yield from self.loop.work(self._costs.gateway_call_ms / 1e3)
        # Ray Serve takes the less busy of two replicas chosen at random.
        choice = self._chance.sample(self._replicas, min(2, len(self._replicas)))
        yield from min(choice, key=lambda replica: replica.calls).predict(len(images))


class Service:
    """The whole service.

    Args:
        env: Simulated time.
        topology: What stands where.
        costs: Of each step.
        hits: Share of requests that the cache answers.
        chance: Source of randomness.
        variation: Standard deviation over mean of every step.
        client_ms: CPU time of the load generator for a request, where it runs on the same cores.
        other_cores: Cores that other programs use, likewise.
    """

    def __init__(
        self,
        env: simpy.Environment,
        topology: Topology,
        costs: Costs,
        *,
        hits: float,
        chance: random.Random,
        variation: float,
        client_ms: float = 0.0,
        other_cores: float = 0.0,
    ) -> None:
        self.env = env
        self.topology = topology
        times = Times(chance, variation)
        cores = Cores(env, topology.cores)
        self.haproxies = [Process(env, cores, times, topology.haproxy_threads) for _ in range(topology.haproxies)]
        self.redis = Process(env, cores, times)
        replicas = topology.gateways if topology.colocated else topology.replicas
        self.replicas = [Replica(env, topology, costs, cores, times, chance) for _ in range(replicas)]
        self.gateways = [
            Gateway(env, topology, costs, cores, times, self.replicas, chance) for _ in range(topology.gateways)
        ]
        self._client = Process(env, cores, times)
        self._costs = costs
        self._hits = hits
        self._chance = chance
        self._client_ms = client_ms
        self._turn = 0
        if topology.cores is not None:
            for load in _halves(costs.idle_cores + other_cores):
                env.process(self._other_work(cores, load))

    def request(self) -> Steps:
        """The way of one request, from its first byte to its answer."""
        costs = self._costs
        is_hit = self._chance.random() < self._hits
        yield from self._client.work(self._client_ms / 1e3)
        yield from self._chance.choice(self.haproxies).work(costs.haproxy_ms / 1e3)
        number = self._choose_gateway()
        gateway = self.gateways[number]
        gateway.requests += 1
        yield from gateway.loop.work((costs.gateway_ms + (0.0 if is_hit else costs.gateway_miss_ms)) / 1e3)
        yield from self.redis.work((costs.redis_ms if is_hit else costs.redis_miss_ms) / 1e3)
        if not is_hit and self.topology.colocated:
            yield from self.replicas[number].answer()
        elif not is_hit:
            image = Image(self.env.now, self.env.event())
            gateway.calls.submit(image)
            yield image.done
        gateway.requests -= 1

    def cpu_s(self) -> dict[str, float]:
        """CPU time so far, by process."""
        return {
            "HAProxy": sum(process.cpu_s for process in self.haproxies),
            "gateway": sum(gateway.loop.cpu_s for gateway in self.gateways),
            "replica": sum(
                part.cpu_s
                for replica in self.replicas
                for part in (replica.loop, replica.pool, *(() if self.topology.gpu else (replica.network,)))
            ),
            "Redis": self.redis.cpu_s,
        }

    def _choose_gateway(self) -> int:
        """HAProxy's choice; among gateways with equally few requests, the next one in turn."""
        self._turn += 1
        if self.topology.balance == "roundrobin":
            return self._turn % len(self.gateways)
        order = [(self._turn + step) % len(self.gateways) for step in range(len(self.gateways))]
        return min(order, key=lambda number: self.gateways[number].requests)

    def _other_work(self, cores: Cores, load: float) -> Steps:
        """A thread that wants a core for `load` of the time, in pieces of 1 ms on average."""
        while True:
            used_s = self._chance.expovariate(1e3)
            yield from cores.work(used_s)
            yield self.env.timeout(used_s * (1 - load) / load)


def _halves(load: float) -> Iterator[float]:
    """Split a load into threads of at most 0.95 of a core."""
    threads = -(-load // 0.95)
    for _ in range(int(threads)):
        yield load / threads
