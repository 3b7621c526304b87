"""Addresses of this machine, and the proxies of the environment that they must not be reached through."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import MutableMapping
from typing import Final

LOOPBACK: Final = "127.0.0.1"
LOOPBACK_HOSTS: Final = (LOOPBACK, "localhost", "::1")
_NO_PROXY: Final = ("no_proxy", "NO_PROXY")
_NO_GRPC_PROXY: Final = "no_grpc_proxy"
"""gRPC reads it in place of `no_proxy` where it is set."""


def is_loopback(host: str) -> bool:
    """Whether a server that listens on `host` can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Exempt the loopback addresses from `http_proxy`, `https_proxy`, `grpc_proxy` and `all_proxy`.

    The proxies stay in use for everything else, such as downloads of weights.

    Args:
        environment: Changed in place; `no_proxy` keeps what it exempts already.
    """
    for name in _NO_PROXY:
        given = environment.get(name) or next((environment[other] for other in _NO_PROXY if other in environment), "")
        environment[name] = _with_loopback(given)
    if environment.get(_NO_GRPC_PROXY):
        environment[_NO_GRPC_PROXY] = _with_loopback(environment[_NO_GRPC_PROXY])


def _with_loopback(no_proxy: str) -> str:
    hosts = [host.strip() for host in no_proxy.split(",") if host.strip()]
    return ",".join([*hosts, *(host for host in LOOPBACK_HOSTS if host not in hosts)])
