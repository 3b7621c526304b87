"""`tapetum models remove` and `rename`: the models that the user has added or trained."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.text import Text

from services.cli.console import CommandError, Screen, printable

_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def remove_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Model of your own, in all versions, or NAME@VERSION.")],
    yes: _Yes = False,
) -> None:
    """Delete a model of your own: its card, its weights and its picture.

    A server that has it loaded goes on to serve it until it is unloaded or the server stops.
    """
    from models.importing.own_cards import cards_named, files_of, remove

    screen = Screen()
    cards = cards_named(name)
    for path in (path for card in cards for path in files_of(card)):
        screen.err.print(Text(printable(path)), soft_wrap=True)
    if not yes:
        if not sys.stdin.isatty():
            raise CommandError("nothing was removed: say --yes to remove these files without being asked", 2)
        typer.confirm("Delete these files?", abort=True, err=True)
    with one_line_errors():
        remove(cards)
    screen.out.print(Text(f"{printable(name)} is removed"), soft_wrap=True)


def rename_model(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Model of your own, in all versions, or NAME@VERSION.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name; for a single version also NAME@VERSION.")],
) -> None:
    """Rename a model of your own: its card, its weights and its picture.

    A server that has it loaded goes on to serve it by its old name until it is unloaded or the server stops.
    """
    from models.importing.own_cards import rename

    with one_line_errors():
        cards = rename(old, new)
    for card in cards:
        Screen().out.print(Text(printable(card)), soft_wrap=True)


@contextmanager
def one_line_errors() -> Generator[None]:
    """Turns errors of the file system into one line and an exit status."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{error.filename or 'the catalog'}: {(error.strerror or str(error)).lower()}") from None
