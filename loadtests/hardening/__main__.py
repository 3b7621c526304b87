"""Runs the parts of the hardening test and prints one table.

    images     damaged images of every format
    headers    headers made to be expensive to read, each below the caps
    sockets    malformed requests as raw bytes
    slow       clients that are slow, silent or gone
    contract   Schemathesis on /openapi.json, without keys and with one
    soak       mixed requests for minutes
    kills      every process killed under load, of a stack with models in replicas of their own

Everything runs on loopback, against stacks that it starts and ends itself, and all loops are bounded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from loadtests.hardening.contract import check_contract
from loadtests.hardening.headers import check_headers
from loadtests.hardening.images import check_images
from loadtests.hardening.kills import check_kills
from loadtests.hardening.slow_clients import check_slow_clients
from loadtests.hardening.soak import check_soak
from loadtests.hardening.sockets import check_sockets
from loadtests.hardening.stack import Target, running_target
from loadtests.hardening.verdict import Verdict, markdown_of, table_of
from loadtests.processes import SystemFailed

console = Console(width=None if Console().is_terminal else 160)
KEY = "hardening-key"


class Part(StrEnum):
    """A part of the run."""

    IMAGES = "images"
    HEADERS = "headers"
    SOCKETS = "sockets"
    SLOW = "slow"
    CONTRACT = "contract"
    SOAK = "soak"
    KILLS = "kills"


def hardening(
    only: Annotated[list[Part] | None, typer.Option(help="Just this part; may be given again.")] = None,
    images: Annotated[int, typer.Option(min=1, help="Damaged images.")] = 10_000,
    soak_minutes: Annotated[float, typer.Option(min=0.1, help="Length of the soak.")] = 10.0,
    examples: Annotated[int, typer.Option(min=1, help="Requests that Schemathesis makes for an operation.")] = 100,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the table there, too.")] = None,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the logs there.")] = None,
) -> None:
    """Try to stop, confuse or exhaust a running stack; exit 1 if a promise did not hold."""
    parts = tuple(only or Part)
    logs = folder or Path(tempfile.mkdtemp(prefix="hardening-"))
    logs.mkdir(parents=True, exist_ok=True)
    verdicts: list[Verdict] = []
    for verdict in _all_of(_run(parts, logs, images, soak_minutes, examples)):
        console.print(f"{'✓' if verdict.held else '✗'} {verdict.check}: {verdict.result}", markup=False)
        for example in verdict.examples:
            console.print(f"    {example}", markup=False)
        verdicts.append(verdict)
    console.print(table_of(verdicts))
    console.print(f"logs: {logs}", markup=False)
    if markdown:
        markdown.write_text(markdown_of(verdicts), encoding="utf-8")
    raise typer.Exit(0 if all(verdict.held for verdict in verdicts) else 1)


def _all_of(verdicts: Iterator[Verdict]) -> Iterator[Verdict]:
    """The same; a stack that does not start is the last verdict, so that those before it are not lost."""
    try:
        yield from verdicts
    except SystemFailed as error:
        yield Verdict("start", "the stack starts", str(error).partition("\n")[0], held=False)


def _run(parts: tuple[Part, ...], logs: Path, images: int, soak_minutes: float, examples: int) -> Iterator[Verdict]:
    checks: dict[Part, Callable[[Target], list[Verdict]]] = {
        Part.IMAGES: lambda target: check_images(target, images),
        Part.HEADERS: check_headers,
        Part.SOCKETS: check_sockets,
        Part.SLOW: check_slow_clients,
        Part.CONTRACT: lambda target: check_contract(target, logs, examples),
        Part.SOAK: lambda target: check_soak(target, soak_minutes),
    }
    if not checks.keys().isdisjoint(parts):
        with running_target(logs) as target:
            for part, check in checks.items():
                if part in parts:
                    yield from check(target)
    if Part.KILLS in parts:
        with running_target(logs, topology="split") as target:  # with a process of each kind; it ends with the stack
            yield from check_kills(target)
    if Part.CONTRACT in parts:
        with running_target(logs, key=KEY) as target:
            yield from check_contract(target, logs, examples)


if __name__ == "__main__":
    typer.run(hardening)
