"""Finds the class that a question asks about."""

from collections.abc import Sequence
from typing import Final

from models.entries import CatalogEntry
from models.errors import CannotExplain
from models.explaining.explanation import Question
from models.kinds import KINDS

LISTED: Final = 20
"""The most classes that a message lists."""
MAX_NAMES: Final = 100
"""The most names of classes that an error carries."""


def class_id_of(question: Question, entry: CatalogEntry, names: Sequence[str]) -> int | None:
    """Id of the class that is asked for; None: the best one.

    Args:
        question: What is asked.
        entry: Of the model.
        names: Of its classes, by id.

    Raises:
        CannotExplain: The model has no such class, or it is the background.
    """
    if question.method == "features":
        return None
    if question.target is not None:
        return question.target.class_id
    wanted = question.wanted_class
    if wanted is None:
        return None
    found = names.index(wanted) if isinstance(wanted, str) and wanted in names else _as_id(wanted)
    if found is None or found >= len(names):
        known = ", ".join(names) if len(names) <= LISTED else f"{len(names)} others, see GET /v1/models/NAME"
        message = f"{entry.name} has no class {str(wanted)[:80]!r}; it has {known}"
        raise CannotExplain(message, "class", tuple(names[:MAX_NAMES]))
    if found == 0 and KINDS[entry.kind].has_background:
        raise CannotExplain("the background class cannot be explained: ask for another class", "class")
    return found


def _as_id(wanted: str | int) -> int | None:
    if isinstance(wanted, int):
        return wanted if wanted >= 0 else None
    return int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 10 else None
