"""Checks, before anything starts, that this machine can run a configuration: its CPUs and its ports."""

from __future__ import annotations

from services.local.errors import StackError
from services.local.ports import check_port, public_addresses
from services.machine.cpus import count_cpus
from services.serve_file import ServeFile


def check_cpus(config: ServeFile) -> None:
    """Refuse a configuration whose initial replicas reserve more CPUs than this process may use.

    Raises:
        StackError: the configuration does.
    """
    topology = config.topology
    scaled = (topology.gateway, *(() if topology.is_colocated else topology.deployments))
    needed = sum(
        part.num_cpus * (part.autoscaling.min_replicas if part.autoscaling else part.num_replicas) for part in scaled
    )
    available = count_cpus()
    if needed > available:
        raise StackError(f"the configuration reserves {needed:g} CPUs (num_cpus), and this machine has {available}")


def check_ports(config: ServeFile) -> None:
    """Refuse a configuration whose public ports are in use.

    Raises:
        StackError: a port is in use, or the host is not an address of this machine.
    """
    hosts = public_addresses(config.http_options.host)
    check_port(hosts, config.http_options.port)
    if config.grpc_options is not None:
        check_port(hosts, config.grpc_options.port, "--grpc-port")
