"""Shows results as they come: a table for people, lines for pipes, JSON lines for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from services.cli.console import Screen, printable
from services.cli.results import Answer, ClassRow, Problem, Result

MANY = 16
"""From this many images on there is a progress bar."""

_NAME_SHARE = 0.3
_MAX_NAME_WIDTH = 48
_MAX_CLASSES_WIDTH = 84
_PROBABILITY_WIDTH = 6
_CLASS_RATIO = 2


def show_json(screen: Screen, results: Iterable[Result], count: int) -> int:
    """Print one JSON object a line: `path`, and the members of the HTTP API's answer or `error`.

    Args:
        screen: Where to.
        results: What came of each image.
        count: How many there will be.

    Returns:
        How many have no answer.
    """
    failures = 0
    for result in _counted(results, count, screen.err):
        failures += isinstance(result.outcome, Problem)
        print(json.dumps({"path": printable(result.name), **result.outcome.to_dict()}), flush=True)
    return failures


def show_text(screen: Screen, results: Iterable[Result], count: int) -> int:
    """Print each image beside its classes; lines with tabs (path, probability, class) where no terminal shows them.

    What has no answer goes to standard error, unless both are one terminal.

    Args:
        screen: Where to.
        results: What came of each image.
        count: How many there will be.

    Returns:
        How many have no answer.
    """
    started_at = time.monotonic()
    on_terminal = screen.out.is_terminal
    errors = screen.out if on_terminal else screen.err
    models: dict[str, None] = {}
    failures = 0
    for result in _counted(results, count, errors):
        if isinstance(result.outcome, Problem):
            failures += 1
            errors.print(_error_line(result.name, result.outcome), soft_wrap=True)
        else:
            models[f"{result.outcome.model} (version {result.outcome.version})"] = None
            if on_terminal:
                screen.out.print(_block(screen.out.width, result.name, result.outcome))
            else:
                print(_lines(result.name, result.outcome), flush=True)
    if screen.err.is_terminal:
        took_s = time.monotonic() - started_at
        screen.err.print(_summary(count, failures, list(models), took_s), style="dim", soft_wrap=True)
    return failures


@contextmanager
def _bar(count: int, console: Console) -> Iterator[Progress]:
    columns = (TextColumn("classifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=count < MANY or not console.is_terminal,
    ) as progress:
        yield progress


def _counted(results: Iterable[Result], count: int, console: Console) -> Iterator[Result]:
    """The results, counted on a progress bar that begins with the first of them."""
    remaining = iter(results)
    first = next(remaining, None)
    if first is None:
        return
    with _bar(count, console) as progress:
        task = progress.add_task("", total=count, completed=1)
        yield first
        for result in remaining:
            yield result
            progress.advance(task)


def _lines(name: str, answer: Answer) -> str:
    return "\n".join(
        f"{printable(name)}\t{row.probability:.4f}\t{printable(row.class_name)}" for row in answer.predictions
    )


def _block(width: int, name: str, answer: Answer) -> RenderableType:
    """One image, `width` letters wide: its name and size on the left, its classes on the right."""
    image_height, image_width = answer.image_size
    name_width = min(round(width * _NAME_SHARE), _MAX_NAME_WIDTH)
    left = Group(
        Text(printable(name), "bold", overflow="fold"), Text(f"{image_height} high, {image_width} wide", "dim")
    )
    block = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    block.add_column(width=name_width, overflow="fold")
    block.add_column(width=min(width - name_width - 2, _MAX_CLASSES_WIDTH))
    block.add_row(left, _classes(answer.predictions))
    return block


def _classes(rows: Iterable[ClassRow]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    table.add_column(width=_PROBABILITY_WIDTH, justify="right")
    table.add_column(ratio=_CLASS_RATIO, overflow="fold")
    table.add_column(ratio=1)
    for rank, row in enumerate(rows):
        text_style, bar_color = ("bold green", "green") if rank == 0 else ("", "bright_black")
        table.add_row(
            Text(f"{row.probability:.1%}", text_style),
            Text(printable(row.class_name), text_style),
            Bar(1.0, 0.0, row.probability, color=bar_color),
        )
    return table


def _error_line(name: str, problem: Problem) -> Text:
    return Text.assemble((printable(name), "bold"), ": ", (printable(problem.message), "red"))


def _summary(count: int, failures: int, models: list[str], took_s: float) -> str:
    parts = [f"{count} image{'s' * (count != 1)}"]
    if failures:
        parts.append(f"{failures} without an answer")
    if models:
        parts.append(" and ".join(models))
    return f"{', '.join(parts)}, {took_s:.1f} s"
