"""Asks on a terminal what the file of a model does not say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import typer
from rich.text import Text

from models.errors import OpenQuestion, UnusableModel
from services.cli.console import Screen, printable

if TYPE_CHECKING:
    from models.importing.card import CardOptions
    from models.importing.found import InputRange

T = TypeVar("T")

_LARGEST_FRACTION: Final = 1.0


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says of a model.

    Attributes:
        options: For its card.
        architecture: Of the network whose weights a checkpoint holds; None where none is named.
    """

    options: CardOptions
    architecture: str | None = None


def ask(screen: Screen, question: OpenQuestion, given: Given) -> Given:
    """Ask for the value of an option until it can be used.

    Args:
        screen: Where to; answers are read from standard input.
        question: What is not known.
        given: What the user has said so far.

    Returns:
        That, with the answer.

    Raises:
        OpenQuestion: There is no way to ask for this option.
        typer.Abort: The user ends the command.
    """
    from models.importing.class_names import read_class_names

    options = given.options
    screen.err.print(Text(printable(f"{Path(question.source).name} {question.message}")), soft_wrap=True)
    if question.option == "--task":
        return replace(given, options=replace(options, task=_choose(screen, "task", question.choices)))
    if question.option == "--layout":
        return replace(given, options=replace(options, layout=_choose(screen, "layout", question.choices)))
    if question.option == "--classes":
        names = _repeat(screen, "classes", read_class_names)
        return replace(given, options=replace(options, class_names=names))
    if question.option == "--mean":
        what = f"normalisation ({', '.join(question.choices)}, or R,G,B R,G,B)"
        return replace(given, options=replace(options, normalisation=_repeat(screen, what, _normalisation)))
    if question.option == "--architecture":
        return replace(given, architecture=typer.prompt("architecture", err=True))
    raise question


def read_normalisation(mean: str | None, std: str | None) -> InputRange | None:
    """Reads the values of `--mean` and `--std`.

    Args:
        mean: Three numbers for R, G and B with commas between them, or one for all.
        std: Likewise. Where none is 1 or above, both are on the scale 0 to 1, as torchvision and timm write them;
            otherwise on that of 0 to 255.

    Returns:
        Both on the scale 0 to 255; None where neither is given.

    Raises:
        ValueError: One is missing, or is not such numbers.
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise ValueError("--mean and --std go together: mean and standard deviation of R, G and B")
    means, deviations = _three(mean, "--mean"), _three(std, "--std")
    if min(deviations) <= 0:
        raise ValueError(f"--std must be above 0, not {std}")
    scale = 255.0 if max(deviations) < _LARGEST_FRACTION else 1.0
    red, green, blue = (round(value * scale, 6) for value in means)
    of_red, of_green, of_blue = (round(value * scale, 6) for value in deviations)
    return (red, green, blue), (of_red, of_green, of_blue)


def _three(text: str, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3) or not all(abs(number) < float("inf") for number in numbers):
        raise ValueError(f"{option} must be three numbers such as 123.7,116.3,103.5, or one for all, not {text!r}")
    return numbers if len(numbers) == 3 else numbers * 3


def _normalisation(text: str) -> InputRange:
    from models.importing.card import NORMALISATIONS

    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    mean, _, std = text.partition(" ")
    found = read_normalisation(mean, std or None)
    assert found is not None
    return found


def _choose(screen: Screen, what: str, choices: tuple[str, ...]) -> str:
    """One of several values, or its number; the first one is the default."""
    for number, choice in enumerate(choices, 1):
        screen.err.print(Text(f"  {number}  {choice}{_described(choice)}"), soft_wrap=True)

    def read(text: str) -> str:
        if text.isdecimal() and 1 <= int(text) <= len(choices):
            return choices[int(text) - 1]
        if text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}, or a number from 1 to {len(choices)}")
        return text

    return _repeat(screen, what, read, default="1")


def _described(choice: str) -> str:
    from models.outputs.layouts import LAYOUTS

    return f": {LAYOUTS[choice].description}" if choice in LAYOUTS else ""


def _repeat(screen: Screen, what: str, read: Callable[[str], T], default: str | None = None) -> T:
    while True:
        text: str = typer.prompt(what, default=default, err=True)
        try:
            return read(text.strip())
        except (UnusableModel, ValueError) as error:
            screen.err.print(Text(printable(str(error)), "red"), soft_wrap=True)
