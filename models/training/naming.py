"""Validates the name of a new model before training."""

import re
from pathlib import Path
from typing import Final

from models.catalog.lookup import find, versions
from models.catalog.version_names import SEPARATOR, join_name, split_name

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""As `models.catalog.cards` asks for it."""

FIRST_VERSION: Final = "1"
"""Version of a model whose name has none."""


def check_name(name: str, output: Path) -> None:
    """Refuses names that a model card cannot have.

    Args:
        name: Of the model that is to be trained, or `NAME@VERSION` for a further version of a model.
        output: Folder of its card, which may hold an older card of that name.

    Raises:
        ValueError: The name is malformed, or another model's.
        BrokenCard: The card that has the name is broken, or the user's catalog is.
    """
    if not all(_NAME.fullmatch(part) for part in name.split(SEPARATOR, 1)):
        raise ValueError(
            f"a model cannot be called {name!r}: take letters, digits, dots, hyphens and underscores, and begin with a "
            "letter or a digit"
        )
    model, version = split_name(name)
    known = [each for each in versions(model) if version in (None, each)]
    for entry in (find(join_name(model, each)) for each in known):
        if entry.card is None or entry.card.parent != output.resolve():
            raise ValueError(f"there is another model called {name!r}; choose another name")
