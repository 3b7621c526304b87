"""`tapetum serve`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer


def serve(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Serve configuration file; the bundled one by default."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Serve this model of the catalog (tapetum models list), instead of those of the file; may be given "
            "again.",
        ),
    ] = None,
    save_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="With --model: also write the configuration to a file."),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on, instead of http_options.host in the file.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port, instead of http_options.port in the file.")
    ] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port of gRPC, instead of grpc_options.port in the file; the one after --port by default; 0: none.",
        ),
    ] = None,
    topology: Annotated[
        Literal["auto", "split", "colocated"] | None,  # that of services.topology, which would load numpy
        typer.Option(
            help="Where models run: in the gateway's replicas (colocated) or in their own (split), instead of topology "
            "in the file; auto: colocated, unless a deployment has a GPU, several replicas or resources of its own.",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Deploy to a running Ray cluster instead: auto, ray://HOST:PORT, or its dashboard http://HOST:PORT.",
        ),
    ] = None,
    jobs: Annotated[
        bool,
        typer.Option("--jobs", help="Also run Ray's dashboard, so that `tapetum evaluate --submit` can submit jobs."),
    ] = False,
) -> None:
    """Start the whole stack on this machine, and stop it on Ctrl-C; or deploy to a cluster.

    It starts the gateway, the models and, unless TAPETUM_REDIS_URL is set, a cache server. Ctrl-C and SIGTERM shut it
    down gracefully: requests in flight are answered; sent twice, they end all processes at once.

    With --address it deploys to a cluster whose nodes `tapetum node` started, and Ctrl-C only stops watching.
    docs/settings.md lists the environment variables.
    """
    if save_config is not None and not model:
        raise typer.BadParameter("--save-config needs --model: without it, the configuration is the file")
    if address is not None:
        _refuse_local_options(model, topology, jobs)
        raise typer.Exit(_deploy(config, address, host, port, grpc_port))
    from services.local.stack import serve as run_stack

    given = {"host": host, "port": port, "grpc_port": grpc_port, "layout": topology, "jobs": jobs}
    raise typer.Exit(run_stack(config, models=tuple(model or ()), save_config=save_config, **given))


def _refuse_local_options(model: list[str] | None, topology: str | None, jobs: bool) -> None:
    """Raises where an option does not go with --address."""
    if model:
        raise typer.BadParameter("--model is for a stack on this machine; write a file for the cluster")
    if jobs:
        raise typer.BadParameter("--jobs is for a stack on this machine; a cluster decides itself on its dashboard")
    if topology is not None:
        raise typer.BadParameter("--topology is for a stack on this machine; a cluster takes that of the file")


def _deploy(config: Path | None, address: str, host: str | None, port: int | None, grpc_port: int | None) -> int:
    """Deploys to a cluster and watches it; returns the exit status."""
    from services.cluster.deploying import deploy
    from services.local.stack import DEFAULT_CONFIG

    # at once, though it may go into a pipe: readers wait for the line that says that all runs
    say = partial(print, flush=True)
    return deploy(config or DEFAULT_CONFIG, address, host=host, port=port, grpc_port=grpc_port, say=say)
