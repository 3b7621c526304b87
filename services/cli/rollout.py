"""`tapetum rollout`: rolls a version out on a running server, step by step, while guards hold."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.console import Screen
from services.cli.options import ApiKey

DEFAULT_URL = "http://127.0.0.1:8000"


def rollout(
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The version to roll out.")],
    steps: Annotated[
        str, typer.Option(metavar="PERCENT,…", help="Weights of the version, ascending, the last one 100.")
    ] = "5,25,100",
    guard: Annotated[
        str,
        typer.Option(
            metavar="NAME<BOUND,…",
            help="What must hold at every step: error_ratio, p99_ratio, live_accuracy_drop.",
        ),
    ] = "error_ratio<0.01,p99_ratio<1.2",
    hold: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="The least duration of a step.")] = 60.0,
    min_requests: Annotated[
        int, typer.Option(min=1, metavar="N", help="The least requests of each version that a guard is evaluated on.")
    ] = 500,
    min_feedback: Annotated[
        int, typer.Option(min=1, metavar="N", help="The same of feedbacks, for live_accuracy_drop.")
    ] = 100,
    timeout: Annotated[
        float,
        typer.Option(min=1, metavar="SECONDS", help="Longest duration of a step; with too little data by then, fail."),
    ] = 3600.0,
    skip_unknown: Annotated[
        bool,
        typer.Option("--skip-unknown", help="With too little data by then, go on to the next step instead."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Roll out without a recorded evaluation that reaches the predecessor's.")
    ] = False,
    url: Annotated[str, typer.Option(metavar="URL", help="The server.")] = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Roll a version out: load it, check its evaluation, and step its share of the requests up.

    At every step the live metrics of the version are compared with those of its predecessor. Where a guard breaks, on
    Ctrl-C, and where the server is lost, the predecessor answers all requests again. The key must be an admin key. The
    status is 0 where the version answers all requests in the end.
    """
    from services.cli.rollout_session import run_rollout
    from services.cli.rollout_target import ServerTarget
    from services.client import Client
    from services.rollout.guards import Minimum, parse_guards
    from services.rollout.schedule import Schedule, parse_steps

    name, separator, label = version.rpartition("@")
    if not (name and separator and label):
        raise typer.BadParameter(f"{version!r} is no NAME@VERSION")
    if timeout < hold:
        raise typer.BadParameter("--timeout must not be below --hold")
    try:
        minimum = Minimum(min_requests, min_feedback)
        schedule = Schedule(parse_steps(steps), parse_guards(guard), hold, minimum, timeout, skip_unknown)
        client = Client(url, api_key=api_key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with client:
        target = ServerTarget(client, name, label)
        raise typer.Exit(run_rollout(Screen(), target, name, label, schedule, force=force))
