"""Shows how an evaluation comes along, and its figures."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from services.cli.console import Screen, printable
from services.cli.training_display import LINE_EVERY_S, duration
from services.evaluation.gates import LOWER_IS_BETTER
from services.evaluation.job import Progress as JobProgress

_BAR_WIDTH = 20
_SHOWN_CLASSES = 20
_OF_A_CLASS = {
    "classification": ("precision", "recall", "f1", "average_precision"),
    "detection": ("map", "map_50", "precision", "recall", "best_score"),
    "instance": ("map", "map_50", "precision", "recall", "best_score"),
    "semantic": ("iou", "dice", "boundary_iou"),
}
"""Columns of the table of classes, by kind of model."""


class Display(Protocol):
    """Shows how far a job is."""

    def say(self, what: str) -> None:
        """Show what is being done."""
        ...

    def report(self, job: JobProgress) -> None:
        """Show how many images are done."""
        ...


@contextmanager
def evaluation_display(screen: Screen, name: str) -> Generator[Display]:
    """Show on standard error how far a job is: a bar on a terminal, lines elsewhere.

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
        self._name = name
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
        self._screen.err.print(printable(what), soft_wrap=True)

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
    """Print the figures of a run, and those of its classes.

    Args:
        screen: Where to.
        result: As `result.json` has it.
        baseline: That of an earlier run, to compare with.
    """
    model, data, spent = result["model"], result["data"], result["time"]
    screen.out.print(
        f"{printable(model['name'])} {printable(model['version'])} on {printable(data['name'])}: "
        f"{data['images']:,} images through the {result['through']} in {duration(spent['seconds'])}",
        style="bold",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("95 % interval", justify="right", style="dim")
    if baseline is not None:
        table.add_column("points against the baseline", justify="right")
    for name, figure in result["headline"].items():
        interval = "" if figure["low"] is None else f"{figure['low']:.3f} – {figure['high']:.3f}"
        row = [name, _shown(figure["value"]), interval]
        if baseline is not None:
            row.append(_difference(name, figure["value"], baseline["headline"].get(name, {}).get("value")))
        table.add_row(*row)
    screen.out.print(table)
    if len(result["per_class"]) > 1:
        screen.out.print(_class_table(result))


def _class_table(result: Mapping[str, Any]) -> Table:
    """The classes with the most targets."""
    columns = _OF_A_CLASS[result["model"]["kind"]]
    rows = sorted(result["per_class"], key=lambda row: -(row["targets"] or 0))
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.add_column(f"{len(rows)} classes" if len(rows) <= _SHOWN_CLASSES else f"{_SHOWN_CLASSES} of {len(rows)}")
    for name in ("targets", *columns):
        table.add_column(name, justify="right")
    for row in rows[:_SHOWN_CLASSES]:
        shown = (_shown(row[name]) for name in columns)
        table.add_row(printable(row["class_name"]), f"{row['targets']:,}", *shown)
    return table


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _difference(name: str, now: float | None, before: float | None) -> str:
    if now is None or before is None:
        return "–"
    points = round((now - before) * 100, 2) + 0.0
    worse = points > 0 if name in LOWER_IS_BETTER else points < 0
    color = "red" if worse else "green" if points else "dim"
    return f"[{color}]{points:+.2f}[/]"
