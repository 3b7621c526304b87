"""What a model is told: the parameters of a request, made whole with the model's own defaults, class names as ids.

The gateway and the command line both ask here, so that the same words mean the same to both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from models.adapter import ClassificationParameters, DetectionParameters, Parameters
from models.entries import Task

PARAMETERS: Final[Mapping[Task, type[Parameters]]] = {
    "classification": ClassificationParameters,
    "detection": DetectionParameters,
}
"""What a model of each task is told; its defaults are those of models that have none of their own."""

SHOWN_NAMES: Final = 10
"""A message lists all classes of a model only where there are no more of them."""


class UnknownClasses(ValueError):
    """A request for classes that the model does not have.

    Args:
        unknown: What was asked for in vain, at least one.
        known: The names of the model's classes.
    """

    def __init__(self, unknown: Sequence[str | int], known: Sequence[str]) -> None:
        super().__init__(unknown, known)
        self.unknown = tuple(unknown)
        self.known = tuple(known)

    def __str__(self) -> str:
        asked = ", ".join(repr(one) for one in self.unknown[:SHOWN_NAMES])
        has = ", ".join(self.known) if len(self.known) <= SHOWN_NAMES else f"{len(self.known)} others"
        return f"the model has no class {asked}; it has {has}"


def complete(
    task: Task, given: Mapping[str, Any], defaults: Mapping[str, Any], class_names: Sequence[str]
) -> Parameters:
    """The parameters that a model is told, with nothing left open.

    Equal wishes give equal parameters, however they are worded: a cache may go by them.

    Args:
        task: The model's task.
        given: What the request sets, by the names of the task's parameters; `classes` may stand for `class_ids`, as
            names or ids. None is as good as nothing.
        defaults: The model's own (`models.entries.CatalogEntry.defaults`).
        class_names: The model's classes.

    Raises:
        UnknownClasses: the model has no such class.
        ValueError: a value is out of range.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    if "classes" in chosen:
        chosen["class_ids"] = find_classes(chosen.pop("classes"), class_names)
    return PARAMETERS[task](**{**defaults, **chosen})


def find_classes(wanted: Sequence[str | int], class_names: Sequence[str]) -> tuple[int, ...] | None:
    """The ids of some classes, ascending; None where they are all that there are.

    Args:
        wanted: Names or ids. What is a name and could be a number, too, is the name.
        class_names: The model's classes; a name that stands there twice means both.

    Raises:
        UnknownClasses: one of them is neither.
    """
    ids_of: dict[str, list[int]] = {}
    for class_id, name in enumerate(class_names):
        ids_of.setdefault(name, []).append(class_id)
    found: set[int] = set()
    unknown: list[str | int] = []
    for one in wanted:
        class_ids = ids_of.get(one) if isinstance(one, str) else None
        class_ids = class_ids or [class_id for class_id in _as_id(one) if class_id < len(class_names)]
        found.update(class_ids)
        if not class_ids:
            unknown.append(one)
    if unknown:
        raise UnknownClasses(unknown, class_names)
    return None if len(found) == len(class_names) else tuple(sorted(found))


def _as_id(one: str | int) -> tuple[int, ...]:
    """The number that is meant, if any; none has more than nine digits."""
    if isinstance(one, int):
        return (one,) if one >= 0 else ()
    return (int(one),) if one.isascii() and one.isdecimal() and len(one) < 10 else ()
