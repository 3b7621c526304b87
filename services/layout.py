"""Chooses the topology by the machine, and shares its CPUs among the replicas, for `tapetum serve`.

Measured with EfficientNet-Lite0 on two cores (docs/benchmarks.md): a colocated replica saves the call between two
processes, and two of them with one device thread each share no GIL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.configuration import validate
from services.machine.cpus import count_cpus
from services.machine.memory import total_memory
from services.model_deployment import ModelDeployment
from services.topology import Layout, Topology

MOST_REPLICAS: Final = 4
"""The most colocated replicas where the configuration has no number of them: each one has all models in its memory."""

BYTES_PER_REPLICA: Final = 2 * 2**30
"""Memory of the machine for each colocated replica."""


@dataclass(frozen=True, slots=True)
class Machine:
    """CPUs and memory that this process may use."""

    cpus: int
    memory_bytes: int

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        return cls(count_cpus(), total_memory())

    def colocated_replicas(self, num_cpus: float) -> int:
        """One for each CPU, up to `MOST_REPLICAS` and as far as the memory and the CPUs go.

        Args:
            num_cpus: That a replica reserves.
        """
        cpus = self.cpus if num_cpus < 1 else int(self.cpus / num_cpus)
        return max(1, min(cpus, MOST_REPLICAS, self.memory_bytes // BYTES_PER_REPLICA))


def lay_out(topology: Topology, machine: Machine, layout: Layout | None = None) -> Topology:
    """The same with an explicit topology, number of gateway replicas and of device threads.

    What the configuration sets is kept. `auto` is `colocated`, unless a deployment needs replicas of its own.

    Args:
        topology: The configuration.
        machine: That it runs on.
        layout: In place of the topology of the configuration.

    Raises:
        TopologyError: a deployment needs replicas of its own, and `colocated` is asked for.
    """
    layout = layout or topology.topology
    if layout == "auto":
        layout = "split" if topology.apart else "colocated"
    gateway = topology.gateway
    if layout == "colocated" and gateway.autoscaling is None and "num_replicas" not in gateway.model_fields_set:
        gateway = gateway.model_copy(update={"num_replicas": machine.colocated_replicas(gateway.num_cpus)})
    replicas = gateway.max_replicas if layout == "colocated" else 1
    threads = max(1, machine.cpus // replicas)
    deployments = tuple(_with_device_threads(config, threads) for config in topology.deployments)
    if layout == "colocated" and machine.cpus > 1:
        deployments = tuple(_with_threads_alone(config) for config in deployments)
    changed = topology.model_copy(update={"topology": layout, "gateway": gateway, "deployments": deployments})
    return validate(Topology, changed.model_dump(), "topology")


def _with_device_threads(config: ModelDeployment, threads: int) -> ModelDeployment:
    if config.num_device_threads or config.device != "cpu" or config.backend == "triton":
        return config
    return config.model_copy(update={"num_device_threads": threads})


def _with_threads_alone(config: ModelDeployment) -> ModelDeployment:
    """Two threads for an image that is alone: it takes 0.6 times as long (2 cores)."""
    if config.num_threads_alone or config.backend == "triton":
        return config
    return config.model_copy(update={"num_threads_alone": 2})
