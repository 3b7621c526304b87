"""Shows the progress of a training run: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn

from services.cli.console import Screen

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.training.engine import Progress as TrainingProgress

LINE_EVERY_S = 30.0
"""A line goes into a pipe this often, and after every evaluation."""

SHOWN_FIGURES = 2
"""The first ones of an evaluation count most; the log and the card have all."""

_BAR_WIDTH = 20


@contextmanager
def training_display(screen: Screen, name: str) -> Generator[Callable[[TrainingProgress], None]]:
    """Show the progress of a run on standard error.

    Args:
        screen: Where to.
        name: Of the model that is trained.

    Yields:
        A function to call with every step of the run.
    """
    if screen.err.is_terminal:
        with _bar(screen, name) as report:
            yield report
    else:
        yield _Lines(screen).report


@contextmanager
def _bar(screen: Screen, name: str) -> Generator[Callable[[TrainingProgress], None]]:
    columns = (BarColumn(_BAR_WIDTH), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=screen.err, transient=True) as progress:
        task = progress.add_task(f"{name}: getting ready", total=None)

        def report(run: TrainingProgress) -> None:
            lines = " · ".join(_place(run)), " · ".join(_measures(run))  # of 80 letters, with the bar
            progress.update(task, completed=run.step, total=run.steps, description="\n".join(lines))

        yield report


class _Lines:
    """Prints a line periodically.

    Args:
        screen: Where to.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._printed_at = -LINE_EVERY_S
        self._figures: Mapping[str, float] = {}

    def report(self, run: TrainingProgress) -> None:
        now = time.monotonic()
        if now - self._printed_at < LINE_EVERY_S and run.figures == self._figures:
            return
        self._printed_at, self._figures = now, run.figures
        self._screen.err.print(", ".join([*_place(run), *_measures(run)]), soft_wrap=True)


def _place(run: TrainingProgress) -> list[str]:
    place = [f"epoch {run.epoch}/{run.epochs}", f"step {run.step}/{run.steps}"]
    return [*place, f"{duration(run.remaining_s)} left"] if run.step < run.steps else place


def _measures(run: TrainingProgress) -> list[str]:
    figures = (f"{name} {value:.3f}" for name, value in islice(run.figures.items(), SHOWN_FIGURES))
    return [f"loss {run.loss:.3f}", f"{run.images_per_s:.0f} images/s", *figures]


def duration(seconds: float) -> str:
    """A time as people write it: 0:12:34."""
    return str(timedelta(seconds=round(seconds)))
