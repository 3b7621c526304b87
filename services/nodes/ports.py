"""Ports on loopback for Ray Serve that no other stack on this machine uses."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from typing import Final

from services.machine.hosts import LOOPBACK
from services.nodes.errors import NodeError

_BLOCK: Final = 256
_BLOCKS: Final = range(16_384, 32_768, _BLOCK)
"""First ports of blocks, below the ports that Linux gives to outgoing connections (32768–60999)."""
_GATEWAYS: Final = 120


@dataclass(frozen=True, slots=True)
class Ports:
    """A block of ports on loopback, reserved as long as this object is open.

    The first port of a block is bound, so that other stacks see that the block is taken.

    Attributes:
        first: First port of the block.
        mark: The socket that is bound to it.
    """

    first: int
    mark: socket.socket

    @classmethod
    def take(cls) -> Ports:
        """Reserve a free block.

        Raises:
            NodeError: there is no free block.
        """
        for first in random.sample(_BLOCKS, len(_BLOCKS)):
            if mark := _bound(first):
                if all(_is_free(port) for port in range(first + 1, first + _BLOCK)):
                    return cls(first, mark)
                mark.close()
        raise NodeError(f"no {_BLOCK} ports in a row are free between {_BLOCKS.start} and {_BLOCKS.stop}")

    def close(self) -> None:
        """Release the block."""
        self.mark.close()

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of Ray Serve for the ports; with its defaults, stacks would share some
        (SO_REUSEPORT)."""
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
