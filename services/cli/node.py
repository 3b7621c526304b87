"""`tapetum node`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.console import CommandError


def node(
    command: Annotated[
        list[str],
        typer.Argument(metavar="-- COMMAND…", help="Starts Ray and stays in the foreground: ray start … --block."),
    ],
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Private folder of this node; emptied at each start.")
    ] = Path("/tmp/tapetum-node"),
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of this node's /metrics, /healthz and /readyz.")
    ] = 9464,
    metrics_host: Annotated[str, typer.Option(help="Address to serve them on.")] = "0.0.0.0",
) -> None:
    """Start a node of a Ray cluster with all that Tapetum needs there.

    Sets the environment, configures HAProxy, serves the metrics of the node's processes and prints their log lines. The
    command gets the signals, and its exit status is that of this command. TAPETUM_STACK_TOKEN (or
    TAPETUM_STACK_TOKEN_FILE) is a secret that all nodes of a cluster share.
    """
    from services.nodes.errors import NodeError
    from services.nodes.node import run_node
    from services.settings import SettingsError

    try:
        status = run_node(command, folder, metrics_host, metrics_port)
    except (NodeError, SettingsError) as error:
        raise CommandError(str(error)) from None
    raise typer.Exit(status)
