"""The ports of a stack: the public one, and a block of private ones that no other stack on this machine uses."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from services.hosts import LOOPBACK, is_loopback
from services.local.errors import StackError

_BLOCK: Final = 256
_BLOCKS: Final = range(16_384, 32_768, _BLOCK)
"""First ports of blocks, below the ports that Linux gives to outgoing connections (32768–60999)."""
_GATEWAYS: Final = 120


@dataclass(frozen=True, slots=True)
class Ports:
    """A block of ports on loopback, taken for as long as this object is open.

    The first port of a block is bound, and so marks the block as taken for other stacks.

    Attributes:
        first: First port of the block.
        mark: The socket that is bound to it.
    """

    first: int
    mark: socket.socket

    @classmethod
    def take(cls) -> Ports:
        """Take a block in which nobody listens.

        Raises:
            StackError: there is none.
        """
        for first in random.sample(_BLOCKS, len(_BLOCKS)):
            if mark := _bound(first):
                if all(_is_free(port) for port in range(first + 1, first + _BLOCK)):
                    return cls(first, mark)
                mark.close()
        raise StackError(f"no {_BLOCK} ports in a row are free between {_BLOCKS.start} and {_BLOCKS.stop}")

    def close(self) -> None:
        """Let other stacks have the block."""
        self.mark.close()

    @property
    def environment(self) -> dict[str, str]:
        """The ports as Ray Serve reads them; several stacks with the defaults would share some (SO_REUSEPORT)."""
        gateways = self.first + 8
        ports = {
            "RAY_SERVE_HAPROXY_STATS_PORT": self.first + 1,
            "RAY_SERVE_HAPROXY_METRICS_PORT": self.first + 2,
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": self.first + 3,
            "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": self.first + 4,
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": gateways,
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": gateways + _GATEWAYS - 1,
            "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": gateways + _GATEWAYS,
            "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": gateways + 2 * _GATEWAYS - 1,
        }
        return {name: str(port) for name, port in ports.items()}


def public_addresses(host: str) -> tuple[str, ...]:
    """Addresses to listen on for a host: both loopbacks where it is one, for `localhost` may mean either."""
    if not is_loopback(host):
        return (host,)
    first = LOOPBACK if host.lower() == "localhost" or ":" in host else host
    return (first, "::1") if _has_ipv6_loopback() else (first,)


def check_port(hosts: Iterable[str], port: int) -> None:
    """Find out before anything starts whether the public port is free.

    Raises:
        StackError: it is not, or a host is not one of this machine's.
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
                    f"cannot listen on {address(host, port)}: {reason}; choose another with --port"
                ) from None


def address(host: str, port: int) -> str:
    """A host and a port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(port: int) -> socket.socket | None:
    made = socket.socket()
    try:
        made.bind((LOOPBACK, port))
    except OSError:
        made.close()
        return None
    return made


def _is_free(port: int) -> bool:
    if (probe := _bound(port)) is None:
        return False
    probe.close()
    return True


def _has_ipv6_loopback() -> bool:
    with suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False
