"""`tapetum serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Serve configuration file; the one that ships by default."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, in place of http_options.host in the file.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port, in place of http_options.port in the file.")
    ] = None,
    jobs: Annotated[
        bool,
        typer.Option("--jobs", help="Run Ray's dashboard, too, so that `tapetum evaluate --submit` can send jobs."),
    ] = False,
) -> None:
    """Start the whole stack on this machine, and stop it on Ctrl-C.

    The gateway, the models and, unless TAPETUM_REDIS_URL is set, a cache server. Ctrl-C and SIGTERM answer what is in
    flight, then leave no process behind; sent twice, they end at once.
    docs/settings.md lists the environment variables.
    """
    from services.local.stack import DEFAULT_CONFIG
    from services.local.stack import serve as run_stack

    raise typer.Exit(run_stack(config or DEFAULT_CONFIG, host=host, port=port, jobs=jobs))
