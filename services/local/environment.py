"""What the processes of a stack find in their environment; set before Ray starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from services.hosts import bypass_proxies
from services.local.haproxy import most_connections
from services.ray_environment import ALWAYS, ON_LOOPBACK, provide_token

RAY_DEFAULTS: Final = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
    "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
    "RAY_SERVE_HAPROXY_MAXCONN": str(most_connections(8192)),
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",
    "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(64 * 1024),
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    **ALWAYS,
}
"""Set unless the environment says otherwise; docs/configuration.md gives the reasons."""


def set_stack_environment(forced: Mapping[str, str]) -> None:
    """Set what every process of the stack inherits.

    Args:
        forced: Folders, ports and addresses of this stack, whatever the environment says of them.
    """
    os.environ.update(forced)
    os.environ[ON_LOOPBACK] = "0"
    for name, value in RAY_DEFAULTS.items():
        os.environ.setdefault(name, value)
    bypass_proxies()
    provide_token()
