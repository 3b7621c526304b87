"""`tapetum config`: prints the environment variables that every node of a cluster needs."""

from __future__ import annotations

import json

import typer

from services.nodes.environment import CLUSTER_DEFAULTS

app = typer.Typer(
    no_args_is_help=True,
    help="Print the environment variables that every node of a cluster needs.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def env() -> None:
    """As lines NAME=value, for `--env-file` of a container or a shell."""
    for name, value in CLUSTER_DEFAULTS.items():
        typer.echo(f"{name}={value}")


@app.command()
def compose() -> None:
    """As `environment` of a service in a compose file."""
    typer.echo("environment:")
    for name, value in CLUSTER_DEFAULTS.items():
        typer.echo(f"  {name}: {json.dumps(value)}")


@app.command()
def kubernetes() -> None:
    """As the list that `env` of a container is in a Kubernetes manifest."""
    for name, value in CLUSTER_DEFAULTS.items():
        typer.echo(f"- name: {name}\n  value: {json.dumps(value)}")
