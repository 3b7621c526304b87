"""The public port of a stack: its addresses, and whether it is free."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress

from services.local.errors import StackError
from services.machine.hosts import LOOPBACK, is_loopback


def public_addresses(host: str) -> tuple[str, ...]:
    """Addresses to listen on for a host: IPv4 and IPv6 loopback where it is one, as `localhost` may be either."""
    if not is_loopback(host):
        return (host,)
    first = LOOPBACK if host.lower() == "localhost" or ":" in host else host
    return (first, "::1") if _has_ipv6_loopback() else (first,)


def check_port(hosts: Iterable[str], port: int, option: str = "--port") -> None:
    """Check, before anything starts, that a public port is free.

    Args:
        hosts: Addresses to listen on.
        port: The port.
        option: Chooses another one.

    Raises:
        StackError: the port is in use, or a host is not an address of this machine.
    """
    with ExitStack() as probes:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            probe = probes.enter_context(socket.socket(family, socket.SOCK_STREAM))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen()
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise StackError(
                    f"cannot listen on {address(host, port)}: {reason}; choose another with {option}"
                ) from None


def address(host: str, port: int) -> str:
    """Formats a host and a port for a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _has_ipv6_loopback() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False
