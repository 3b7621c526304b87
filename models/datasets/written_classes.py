"""Class labels in tables: names, or the class ids of a model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_WHOLE: Final = re.compile(r"[0-9]{1,9}(\.0+)?")
"""Also as pandas writes numbers of a column with gaps: 7.0."""


class WrittenClasses(NamedTuple):
    """What the classes of a table are.

    Attributes:
        names: One for every class id.
        id_of: Gives the class id of what is written, or None where there is no such class.
    """

    names: tuple[str, ...]
    id_of: Callable[[str], int | None]


def written_classes(written: Sequence[str], class_names: tuple[str, ...] | None) -> WrittenClasses:
    """Finds out what the classes of a table are.

    Where all that is written are whole numbers, and the model has classes that are not called so, they are the model's
    class ids. Otherwise they are names.

    Args:
        written: The class of every row.
        class_names: The model's; without them numbers are names.

    Returns:
        The classes: the model's, or the different names, in alphabetical order or by number.
    """
    distinct = set(written)
    whole = all(map(_WHOLE.fullmatch, distinct))
    short = {text: text.partition(".")[0] if whole else text for text in distinct}
    if whole and class_names is not None and not set(short.values()) <= set(class_names):
        ids = {text: int(number) for text, number in short.items() if int(number) < len(class_names)}
        return WrittenClasses(class_names, ids.get)
    names = tuple(sorted(set(short.values()), key=int if whole else None))
    places = {name: place for place, name in enumerate(names)}
    ids = {text: places[name] for text, name in short.items()}
    return WrittenClasses(names, ids.get)
