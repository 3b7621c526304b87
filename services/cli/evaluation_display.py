"""Shows the progress and the figures of an evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from services.cli.console import Screen, printable
from services.cli.training_display import LINE_EVERY_S, duration
from services.evaluation.gates import LOWER_IS_BETTER
from services.evaluation.job import Progress as JobProgress
from services.evaluation.kinds import KINDS

_BAR_WIDTH = 20
_SHOWN_CLASSES = 20
_LEAST_NAME = 12
"""Least width of the first column of a table in characters."""
_GAP = 2
"""Blanks between columns."""

_Row = list[Text]
_Table = tuple[list[str], list[_Row]]
"""Heads of the columns, and rows."""


class Display(Protocol):
    """Shows the progress of a job."""

    def say(self, what: str) -> None:
        """Show the current step."""
        ...

    def report(self, job: JobProgress) -> None:
        """Show the number of finished images."""
        ...


@contextmanager
def evaluation_display(screen: Screen, name: str) -> Generator[Display]:
    """Show the progress of a job on standard error: a bar on a terminal, lines elsewhere.

    Args:
        screen: Where to.
        name: Of the model.
    """
    if screen.err.is_terminal:
        columns = (BarColumn(_BAR_WIDTH), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=screen.err, transient=True) as progress:
            yield _Bar(progress, name)
    else:
        yield _Lines(screen)


class _Bar:
    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(f"{name}: starting Ray", total=None)

    def say(self, what: str) -> None:
        self._progress.update(self._task, description=printable(what))

    def report(self, job: JobProgress) -> None:
        self._progress.update(self._task, completed=job.done, total=job.total, description=_place(job))


class _Lines:
    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._printed_at = -LINE_EVERY_S

    def say(self, what: str) -> None:
        self._screen.err.print(Text(printable(what)), soft_wrap=True)

    def report(self, job: JobProgress) -> None:
        now = time.monotonic()
        if now - self._printed_at >= LINE_EVERY_S or job.done == job.total:
            self._printed_at = now
            self._screen.err.print(_place(job), soft_wrap=True)


def _place(job: JobProgress) -> str:
    parts = [f"{job.done:,}/{job.total:,} images"]
    if job.images_per_s:
        parts.append(f"{job.images_per_s:.1f} images/s")
    if job.done < job.total and not math.isnan(job.remaining_s):
        parts.append(f"{duration(job.remaining_s)} left")
    if job.failures:
        parts.append(f"{job.failures} without an answer")
    if job.lost:
        parts.append(f"{job.lost} workers lost")
    return " · ".join(parts)


def show_figures(screen: Screen, result: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> None:
    """Print the figures of a run, and those of its classes; on a narrow terminal, the columns that fit.

    Args:
        screen: Where to.
        result: As `result.json` has it.
        baseline: That of an earlier run, to compare with.
    """
    model, data, spent = result["model"], result["data"], result["time"]
    title = f"{model['name']} {model['version']} on {data['name']}"
    how = f"{counted(data['images'], 'image')} through the {result['through']} in {duration(spent['seconds'])}"
    screen.out.print(Text(printable(f"{title}: {how}"), "bold"), soft_wrap=True)
    _print_table(screen.out, *_figures(result, baseline))
    if len(result["per_class"]) > 1:
        _print_table(screen.out, *_classes(result))


def counted(number: int, noun: str) -> str:
    """A number of things: `1 image`, `1,000 images`, `2 classes`."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"


def _figures(result: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> _Table:
    rows: list[_Row] = []
    for name, figure in result["headline"].items():
        row = [Text(name), Text(_shown(figure["value"]))]
        if baseline is not None:
            row.append(_difference(name, figure["value"], baseline["headline"].get(name, {}).get("value")))
        row.append(Text("" if figure["low"] is None else f"{figure['low']:.3f} – {figure['high']:.3f}", "dim"))
        rows.append(row)
    return ["", "", *(["± points"] if baseline is not None else []), "95 % interval"], rows


def _classes(result: Mapping[str, Any]) -> _Table:
    """The classes with the most targets."""
    columns = KINDS[result["model"]["kind"]].terminal_columns
    rows = sorted(result["per_class"], key=lambda row: -(row["targets"] or 0))
    texts = (
        [printable(row["class_name"]), f"{row['targets']:,}", *(_shown(row[name]) for name in columns)]
        for row in rows[:_SHOWN_CLASSES]
    )
    total = counted(len(rows), "class")
    head = total if len(rows) <= _SHOWN_CLASSES else f"{_SHOWN_CLASSES} of {total}"
    return [head, "targets", *columns], [list(map(Text, row)) for row in texts]


def _print_table(console: Console, heads: Sequence[str], rows: Sequence[_Row]) -> None:
    """All columns in a pipe; on a terminal those from the left that fit, with the first one cut if need be."""
    lines = [list(map(Text, heads)), *rows]
    widths = [max(row[at].cell_len for row in lines) for at in range(len(heads))]
    room = console.width if console.is_terminal else sum(widths) + _GAP * len(widths)
    ends = list(accumulate([min(widths[0], _LEAST_NAME), *(width + _GAP for width in widths[1:])]))
    kept = max(2, sum(end <= room for end in ends))
    widths[0] = min(widths[0], max(ends[0], room - (ends[kept - 1] - ends[0])))
    for row in lines:
        line = row[0].copy()
        line.truncate(widths[0], overflow="ellipsis", pad=True)
        for cell, width in zip(row[1:kept], widths[1:], strict=False):
            line.append(" " * (_GAP + width - cell.cell_len)).append(cell)
        line.rstrip()
        console.print(line, style="bold" if row is lines[0] else "", soft_wrap=True)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _difference(name: str, now: float | None, before: float | None) -> Text:
    """Points (hundredths) against the baseline, in the colour of what they mean."""
    if now is None or before is None:
        return Text("–")
    points = round((now - before) * 100, 2) + 0.0
    worse = points > 0 if name in LOWER_IS_BETTER else points < 0
    return Text(f"{points:+.2f}", "red" if worse else "green" if points else "dim")
