"""Prints results as they arrive: a table on terminals, tab-separated lines in pipes, or JSON lines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from services.answers.image_problem import Problem
from services.cli.console import Screen, printable
from services.cli.layouts import Layout
from services.cli.results import Result

if TYPE_CHECKING:
    from services.client.answers import Answer

MANY = 16
"""The least number of images with a progress bar."""

_NAME_SHARE = 0.3
_MAX_NAME_WIDTH = 48
_MAX_ANSWER_WIDTH = 84


def show_json(screen: Screen, results: Iterable[Result], count: int, layout: Layout) -> int:
    """Print one JSON object a line: `path`, and the members of the HTTP API's answer or `error`.

    Args:
        screen: Where to.
        results: What came of each image.
        count: How many there will be.
        layout: Of the task; for the progress bar.

    Returns:
        How many have no answer.
    """
    failures = 0
    for result in _counted(results, count, screen.err, layout.doing):
        failures += isinstance(result.outcome, Problem)
        saved = {} if result.picture is None else {"saved": printable(result.picture)}
        print(json.dumps({"path": printable(result.name), **result.to_dict(), **saved}), flush=True)
    return failures


def show_text(screen: Screen, results: Iterable[Result], count: int, layout: Layout) -> int:
    """Print each image with its predictions; tab-separated lines with the path first, outside a terminal.

    Failed images go to standard error, unless both are one terminal.

    Args:
        screen: Where to.
        results: What came of each image.
        count: How many there will be.
        layout: How the answers of the task look.

    Returns:
        How many have no answer.
    """
    started_at = time.monotonic()
    on_terminal = screen.out.is_terminal
    errors = screen.out if on_terminal else screen.err
    models: dict[str, None] = {}
    failures = 0
    for result in _counted(results, count, errors, layout.doing):
        if isinstance(result.outcome, Problem):
            failures += 1
            errors.print(_error_line(result.name, result.outcome), soft_wrap=True)
        else:
            models[f"{result.outcome.model} (version {result.outcome.version})"] = None
            if on_terminal:
                screen.out.print(_block(screen.out.width, result, result.outcome, layout))
            else:
                print(_lines(result, result.outcome, layout), flush=True)
    if screen.err.is_terminal:
        took_s = time.monotonic() - started_at
        screen.err.print(_summary(count, failures, list(models), took_s), style="dim", soft_wrap=True)
    return failures


@contextmanager
def _bar(count: int, console: Console, doing: str) -> Iterator[Progress]:
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=count < MANY or not console.is_terminal,
    ) as progress:
        yield progress


def _counted(results: Iterable[Result], count: int, console: Console, doing: str) -> Iterator[Result]:
    """The results, counted on a progress bar that begins with the first of them."""
    remaining = iter(results)
    first = next(remaining, None)
    if first is None:
        return
    with _bar(count, console, doing) as progress:
        task = progress.add_task("", total=count, completed=1)
        yield first
        for result in remaining:
            yield result
            progress.advance(task)


def _lines(result: Result, answer: Answer[Any], layout: Layout) -> str:
    rows = [layout.fields(row) for row in answer.predictions] or [(layout.nothing,)]
    return "\n".join("\t".join((printable(result.name), *fields)) for fields in rows)


def _block(width: int, result: Result, answer: Answer[Any], layout: Layout) -> RenderableType:
    """One image, `width` letters wide: its name and size on the left, its answer on the right."""
    image_height, image_width = answer.image_size
    name_width = min(round(width * _NAME_SHARE), _MAX_NAME_WIDTH)
    left = [Text(printable(result.name), "bold", overflow="fold")]
    left.append(Text(f"{image_height} high, {image_width} wide", "dim"))
    if result.picture is not None:
        left.append(Text(f"→ {printable(result.picture)}", "dim", overflow="fold"))
    block = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    block.add_column(width=name_width, overflow="fold")
    block.add_column(width=min(width - name_width - 2, _MAX_ANSWER_WIDTH))
    block.add_row(Group(*left), layout.table(answer.predictions) if answer.predictions else Text(layout.nothing, "dim"))
    return block


def _error_line(name: str, problem: Problem) -> Text:
    return Text.assemble((printable(name), "bold"), ": ", (printable(problem.message), "red"))


def _summary(count: int, failures: int, models: list[str], took_s: float) -> str:
    parts = [f"{count} image{'s' * (count != 1)}"]
    if failures:
        parts.append(f"{failures} without an answer")
    if models:
        parts.append(" and ".join(models))
    return f"{', '.join(parts)}, {took_s:.1f} s"
