"""Starts a node of a Ray cluster with its environment, HAProxy, logs and metrics, for `tapetum node`.

tapetum node -- ray start --head --block
  ├── environment         as `services.nodes.environment` says, for the command and all that it starts
  ├── HAProxy's launcher  errors, limits and headers as on one machine; with the token of the cluster
  ├── log pipe            log lines of every process of the node, printed here
  ├── exporter            metrics of every process of the node, on a port of its own
  └── the command         gets the signals, gives the exit status
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson

from services.machine.run_dir import release
from services.machine.stack_token import write_token
from services.nodes.command import run_command
from services.nodes.environment import CLUSTER_DEFAULTS, set_defaults, set_ray_token
from services.nodes.errors import NodeError
from services.nodes.exporter import NodeExporter
from services.nodes.folder import make_node_folder
from services.nodes.haproxy import grpc_environment, haproxy_environment, write_launcher
from services.nodes.log_printer import start_log_printer
from services.nodes.ports import Ports
from services.settings import Settings, read_settings

_SECRETS = ("TAPETUM_STACK_TOKEN", "TAPETUM_STACK_TOKEN_FILE")
"""Variables that are removed from the environment of Ray's processes, which need only the values derived from them."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""Ray colours what `ray start` prints, on a pipe, too."""


def run_node(command: Sequence[str], folder: Path, metrics_host: str, metrics_port: int) -> int:
    """Run the node in the foreground until its command ends.

    Args:
        command: Starts Ray and stays in the foreground, such as `ray start --head --block`.
        folder: Private folder of the node.
        metrics_host: Address that the metrics are served on.
        metrics_port: Likewise.

    Returns:
        Exit status of the command; 128 and the number of the signal where one ended it.

    Raises:
        NodeError: the node cannot be started.
        SettingsError: a variable cannot be used.
    """
    settings = read_settings()
    secret = settings.cluster_secret()
    if secret is None:
        raise NodeError(
            "TAPETUM_STACK_TOKEN is not set: all nodes of a cluster need the same secret, of 16 characters or more, in "
            "TAPETUM_STACK_TOKEN or TAPETUM_STACK_TOKEN_FILE"
        )
    folder = make_node_folder(folder)
    try:
        exporter = NodeExporter(folder, metrics_host, metrics_port)
        with closing(exporter), closing(Ports.take()) as ports:
            environment = node_environment(folder, ports, secret, settings)
            start_log_printer(folder, sys.stdout)
            lines = _Lines(as_json=environment["TAPETUM_LOG_FORMAT"] == "json")
            return run_command(command, environment, take_line=lines.print, stopping=exporter.drain)
    finally:
        release(folder)


def node_environment(folder: Path, ports: Ports, secret: str, settings: Settings) -> dict[str, str]:
    """The environment of a node's processes; writes the files that it refers to into the node's folder.

    Args:
        folder: Private folder of the node.
        ports: For Ray Serve, where the environment names none.
        secret: Of the cluster.
        settings: Limits of HAProxy.
    """
    launcher = write_launcher(folder, write_token(folder, secret), settings)
    given = {name: value for name, value in os.environ.items() if name not in _SECRETS}
    environment = {
        **ports.environment,
        **given,
        **haproxy_environment(folder, launcher, settings),
        **grpc_environment(settings),
        "TAPETUM_RUN_DIR": str(folder),
    }
    set_defaults(environment, CLUSTER_DEFAULTS)
    set_ray_token(environment, secret)
    return environment


class _Lines:
    """Prints the output of the command unchanged, or as events of a JSON log.

    Args:
        as_json: Which.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def print(self, line: str) -> None:
        """Print a line."""
        if not self._as_json:
            print(line, flush=True)
        elif line.strip():
            print(line if _is_event(line) else _event(line), flush=True)


def _is_event(line: str) -> bool:
    with suppress(orjson.JSONDecodeError):
        return line.startswith("{") and isinstance(orjson.loads(line), dict)
    return False


def _event(line: str) -> str:
    time = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return orjson.dumps({"event": _COLOUR.sub("", line).strip(), "level": "info", "timestamp": time}).decode()
