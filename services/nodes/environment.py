"""Environment variables of every Ray node, which must be set before Ray starts there.

They are defined here only. `tapetum serve` and `tapetum node` set them, and `tapetum config` prints them for compose
files and Kubernetes manifests.
"""

from __future__ import annotations

import hashlib
import hmac
import resource
from collections.abc import Mapping, MutableMapping
from typing import Final

from services.machine.cpus import count_cpus
from services.machine.hosts import bypass_proxies
from services.machine.ray_environment import ALWAYS

RAY_DEFAULTS: Final = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(64 * 1024),
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    **ALWAYS,
}
"""Defaults, which the environment overrides; docs/configuration.md gives the reasons."""

CLUSTER_DEFAULTS: Final = {
    **RAY_DEFAULTS,
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    "TAPETUM_LOG_FORMAT": "json",
}
"""Defaults on a cluster, where the HAProxies of other nodes must notice a draining gateway before it closes."""

_MAX_HAPROXY_THREADS: Final = 4
_MAX_HAPROXY_CONNECTIONS: Final = 8192
_OPEN_FILES: Final = 1000
"""Open files of HAProxy without those of connections."""
_FILES_OF_CONNECTION: Final = 2.5
"""Open files per connection: a socket on either side, and for every fourth a pipe to splice through."""
_RAY_AUTH: Final = frozenset({"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"})


def machine_defaults() -> dict[str, str]:
    """Defaults that depend on this machine: on its CPUs, and on the limit of open files."""
    return {
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(_MAX_HAPROXY_THREADS, count_cpus())),
        "RAY_SERVE_HAPROXY_MAXCONN": str(most_connections(_MAX_HAPROXY_CONNECTIONS)),
    }


def most_connections(wanted: int) -> int:
    """HAProxy's `maxconn`, within the limit of open files."""
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return wanted
    return max(64, min(wanted, int((limit - _OPEN_FILES) / _FILES_OF_CONNECTION)))


def set_defaults(environment: MutableMapping[str, str], defaults: Mapping[str, str] = RAY_DEFAULTS) -> None:
    """Set defaults that the environment does not set, and exempt loopback from proxies.

    Args:
        environment: Changed in place.
        defaults: `RAY_DEFAULTS` or `CLUSTER_DEFAULTS`.
    """
    for name, value in {**defaults, **machine_defaults()}.items():
        environment.setdefault(name, value)
    bypass_proxies(environment)


def set_ray_token(environment: MutableMapping[str, str], secret: str) -> None:
    """Derive Ray's authentication token from the secret, the same on all nodes, unless the environment sets one.

    Args:
        environment: Changed in place.
        secret: Of the cluster, `TAPETUM_STACK_TOKEN`.
    """
    if not environment.keys() & _RAY_AUTH:
        environment["RAY_AUTH_TOKEN"] = hmac.new(secret.encode(), b"Ray", hashlib.sha256).hexdigest()
    if environment.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        environment.setdefault("RAY_AUTH_MODE", "token")
