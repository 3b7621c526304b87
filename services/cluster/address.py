"""Finds the dashboard of a Ray cluster, whose HTTP API takes configurations."""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

from services.cluster.errors import ClusterError
from services.machine.hosts import is_loopback
from services.machine.ray_environment import set_ray_environment
from services.nodes.environment import set_ray_token
from services.settings import Settings


def prepare(address: str, settings: Settings) -> None:
    """Set what Ray must find in the environment of this process; call it before Ray is imported.

    Args:
        address: Of the cluster, see `find_dashboard`.
        settings: With the secret of the cluster, where it is set.
    """
    if secret := settings.cluster_secret():
        set_ray_token(os.environ, secret)
    set_ray_environment(on_loopback=is_loopback(urlsplit(address).hostname or ""), joining=True)


def find_dashboard(address: str) -> str:
    """The URL of a cluster's dashboard.

    Args:
        address: `http://HOST:8265`, the dashboard itself; `ray://HOST:10001`, a server for Ray's clients; or `auto`,
            the cluster of the node that this process runs on.

    Raises:
        ClusterError: there is no cluster, or it runs without a dashboard.
    """
    if address.startswith(("http://", "https://")):
        return address.rstrip("/")
    if address != "auto" and not address.startswith("ray://"):
        raise ClusterError(f"the address of a cluster is auto, ray://HOST:PORT or http://HOST:PORT, not {address}")
    import ray

    try:
        context = ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has no error of its own for a cluster that is not there
        first_line = str(error).strip().partition("\n")[0]
        raise ClusterError(f"there is no cluster at {address}: {first_line}") from None
    url = context.dashboard_url
    ray.shutdown()
    if not url:
        raise ClusterError(f"the cluster at {address} runs without a dashboard, which takes configurations")
    return f"http://{url}"
