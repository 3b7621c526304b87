"""Completes the parameters of a request with the model's defaults, and resolves class names to ids.

The gateway and the command line both ask here, so that the same words mean the same to both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from models.entries import Kind
from models.kinds import KINDS
from models.parameters import Parameters

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
        return f"the model has no class {asked}; it has {_listed(self.known)}"


class BackgroundAsked(UnknownClasses):
    """A request for the background, which is no class but what none of the classes covers."""

    def __str__(self) -> str:
        asked = ", ".join(repr(one) for one in self.unknown)
        return f"{asked} is the background, which has no mask of its own; the classes are {_listed(self.known)}"


def complete(
    kind: Kind, given: Mapping[str, Any], defaults: Mapping[str, Any], class_names: Sequence[str]
) -> Parameters:
    """The complete parameters for a model: those of the request, then defaults.

    Equal wishes give equal parameters, however they are worded: a cache may go by them.

    Args:
        kind: The model's kind.
        given: What the request sets, by the names of the task's parameters; `classes` may stand for `class_ids`, as
            names or ids. None is as good as nothing.
        defaults: The model's own (`models.entries.CatalogEntry.defaults`).
        class_names: The model's classes.

    Raises:
        UnknownClasses: the model has no such class.
        BackgroundAsked: it is the background.
        ValueError: a value is out of range.
    """
    record = KINDS[kind]
    chosen = {name: value for name, value in given.items() if value is not None and name not in record.ignored}
    if "classes" in chosen:
        chosen["class_ids"] = find_classes(chosen.pop("classes"), class_names, record.has_background)
    return record.parameters(**{**defaults, **chosen})


def find_classes(
    wanted: Sequence[str | int], class_names: Sequence[str], has_background: bool = False
) -> tuple[int, ...] | None:
    """The ids of some classes, ascending; None where they are all that there are.

    Args:
        wanted: Names or ids. What is a name and could be a number, too, is the name.
        class_names: The model's classes; a name that stands there twice means both.
        has_background: Whether the first of them is the background, which nobody can ask for.

    Raises:
        UnknownClasses: one of them is neither.
        BackgroundAsked: one of them is the background.
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
    first = int(has_background)
    if unknown:
        raise UnknownClasses(unknown, class_names[first:])
    if has_background and 0 in found:
        raise BackgroundAsked(class_names[:1], class_names[first:])
    return None if len(found) == len(class_names) - first else tuple(sorted(found))


def _listed(class_names: Sequence[str]) -> str:
    return ", ".join(class_names) if len(class_names) <= SHOWN_NAMES else f"{len(class_names)} others"


def _as_id(one: str | int) -> tuple[int, ...]:
    """The number that is meant, if any; none has more than nine digits."""
    if isinstance(one, int):
        return (one,) if one >= 0 else ()
    return (int(one),) if one.isascii() and one.isdecimal() and len(one) < 10 else ()
