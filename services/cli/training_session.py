"""Shared code of the `tapetum train` commands: progress display, one-line errors, and the result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from services.cli.console import CommandError, Screen, printable
from services.cli.label_problems import STRICT_PROBLEMS, list_problems, show_problems
from services.cli.training_display import SHOWN_FIGURES, duration, training_display

if TYPE_CHECKING:
    from models.datasets.samples import LabelProblem
    from models.training.engine import Progress


_PREPARED_EVERY = 200

Train = Callable[["Callable[[Progress], None]", "Callable[[Sequence[LabelProblem]], None]"], Path]
"""Trains, reports its progress and wrong labels, and returns the path of the model card."""


def run_training(train: Train, name: str, output: Path, command: str) -> None:
    """Train with a progress display, and print the result.

    Args:
        train: Trains.
        name: Of the model.
        output: Folder of its card.
        command: The `tapetum` command to try the model with, such as `classify IMAGE`.

    Raises:
        CommandError: An error that the user can fix.
        ModelsError: Likewise.
    """
    screen = Screen()
    run_folder = output / f"{name}.run"
    if (run_folder / "checkpoint.pt").exists():
        screen.err.print(Text(f"going on from {printable(run_folder)}"), soft_wrap=True)
    with training_display(screen, name) as report, _one_line_errors(screen, run_folder):
        card = train(report, lambda problems: show_problems(screen, problems))
    _show_result(screen, card, command)


def show_preparation(done: int, photos: int) -> None:
    """Print how many photos were prepared, every few hundred.

    Args:
        done: Photos so far.
        photos: All of them.
    """
    if done % _PREPARED_EVERY == 0 or done == photos:
        Screen().err.print(f"pooled the regions of {done:,} of {photos:,} photos", soft_wrap=True)


def show_note(sentence: str) -> None:
    """Print what is done otherwise than the options say."""
    Screen().err.print(Text(sentence), soft_wrap=True)


@contextmanager
def _one_line_errors(screen: Screen, run_folder: Path) -> Generator[None]:
    from models.datasets.label_problems import WrongLabels
    from models.datasets.photo_dataset import DatasetError
    from models.training.engine import RunStopped, TrainingDiverged

    try:
        yield
    except RunStopped as error:
        message = f"stopped; the same command goes on from {run_folder}"
        raise CommandError(message, 128 + error.number) from None
    except WrongLabels as error:
        list_problems(screen, error.problems, STRICT_PROBLEMS)
        raise CommandError(str(error)) from None
    except (DatasetError, TrainingDiverged) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or run_folder}: {error.strerror or error}") from None
    except ValueError as error:
        raise CommandError(str(error), 2) from None


def _show_result(screen: Screen, card: Path, command: str) -> None:
    from models.catalog.cards import read_card

    entry = read_card(card)
    seconds = float(entry.training.get("training_time_s", 0))
    figures = ", ".join(f"{figure.metric} {figure.value:.3f}" for figure in entry.accuracy[:SHOWN_FIGURES])
    dataset = f" on {entry.accuracy[0].dataset}" if entry.accuracy else ""
    screen.err.print(
        Text.assemble((entry.name, "bold green"), f": {figures or 'not evaluated'}{dataset}"),
        f"({duration(seconds)} of training)",
        soft_wrap=True,
    )
    screen.err.print(
        f"try it: TAPETUM_CATALOG={card.parent} tapetum {command} --model {card.name.removesuffix('.json')}",
        soft_wrap=True,
    )
    print(card)
