"""Terminal output of the commands: two consoles, safe text, and one-line errors."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Screen:
    """The output consoles of a command.

    Attributes:
        out: Standard output: results.
        err: Standard error: progress and errors.
    """

    out: Console = field(default_factory=lambda: Console(highlight=False))
    err: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))


class CommandError(Exception):
    """Ends a command with one line on standard error.

    Args:
        message: The line.
        status: Exit status: 1 for failures, 2 for invalid usage.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status


def show_error(message: str) -> None:
    """Print one line on standard error, however long."""
    Screen().err.print(Text.assemble(("error: ", "bold red"), printable(message)), soft_wrap=True)


def no_such_model(name: str, known: Iterable[str]) -> CommandError:
    """The error for an unknown model name, with similar names.

    Args:
        name: The requested name.
        known: The available names.
    """
    known = tuple(known)
    matches = closest(name, known)
    if matches:
        hint = f"did you mean {' or '.join(matches)}?"
    else:
        hint = f"there are {', '.join(known)}" if 0 < len(known) <= 10 else "`tapetum models list` shows all"
    return CommandError(f"there is no model {name!r}; {hint}", 2)


def closest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The most similar of some model names, best first: families like `torchvision/` and case do not count.

    Args:
        name: A name with a mistake in it.
        known: The right names.
        count: Most names to return.
    """
    by_short_name = {_short(candidate): candidate for candidate in known}
    return [by_short_name[match] for match in get_close_matches(_short(name), by_short_name, n=count)]


def _short(name: str) -> str:
    return name.rpartition("/")[2].partition("@")[0].lower()


def printable(text: str | Path) -> str:
    """Sanitises text for terminals and JSON: replaces undecodable bytes and control characters."""
    decoded = os.fsencode(text).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in decoded)
