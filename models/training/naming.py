"""Validates the name of a new model before training."""

import re
from pathlib import Path
from typing import Final

from models.catalog.lookup import find
from models.errors import UnknownModel

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""As `models.catalog.cards` asks for it."""


def check_name(name: str, output: Path) -> None:
    """Refuses names that a model card cannot have.

    Args:
        name: Of the model that is to be trained.
        output: Folder of its card, which may hold an older card of that name.

    Raises:
        ValueError: The name is malformed, or another model's.
        BrokenCard: The card that has the name is broken, or the user's catalog is.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a model cannot be called {name!r}: take letters, digits, dots, hyphens and underscores, and begin with a "
            "letter or a digit"
        )
    try:
        entry = find(name)
    except UnknownModel:
        return
    if entry.card is None or entry.card.parent != output.resolve():
        raise ValueError(f"there is another model called {name!r}; choose another name")
