"""The result of one check, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True)
class Verdict:
    """What one check found.

    Attributes:
        part: Name of the part of the run: `images`, `headers`, `sockets` …
        check: What was tried.
        result: What was measured, in a few words.
        held: Whether the promise was kept.
        examples: The first violations, one line each; empty where `held`.
    """

    part: str
    check: str
    result: str
    held: bool
    examples: tuple[str, ...] = ()


def table_of(verdicts: Iterable[Verdict]) -> Table:
    """The table for a terminal."""
    table = Table("part", "check", "result", "held")
    for verdict in verdicts:
        table.add_row(verdict.part, verdict.check, verdict.result, "yes" if verdict.held else "[bold red]NO[/]")
    return table


def markdown_of(verdicts: Iterable[Verdict]) -> str:
    """The same table as `docs/reliability.md` has it."""
    rows = ["| part | check | result | held |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {verdict.part} | {verdict.check} | {verdict.result} | {'yes' if verdict.held else '**no**'} |"
        for verdict in verdicts
    ]
    return "\n".join(rows) + "\n"
