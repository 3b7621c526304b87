"""Maps the classes of a data set to the classes of a model, by name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import (
    UNNAMED,
    ClassTarget,
    DatasetError,
    EvaluationSet,
    ObjectTarget,
    RegionTarget,
    Target,
)
from services.evaluation.kinds import KINDS, KindEvaluation

_NONE = -1


@dataclass(frozen=True, eq=False)
class ClassMatch:
    """A mapping of a data set's class ids to a model's.

    Attributes:
        to_model: (K,) int64, the model's class id of every class id of the data set; -1 where the model has none.
        measured: The model's class ids that the data set has, too, ascending: the evaluated classes.
        unknown: Names of the data set's classes that the model does not have: their labels are dropped.
    """

    to_model: NDArray[np.int64]
    measured: tuple[int, ...]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, data: EvaluationSet, model: str, class_names: tuple[str, ...]) -> ClassMatch:
        """Matches by name; objects without a name belong to the class of a model with one class.

        Args:
            data: The data set.
            model: Name of the model, for messages.
            class_names: The model's.

        Raises:
            DatasetError: they have no class in common.
        """
        kind = KINDS[data.kind]
        first = int(kind.has_background)
        of_data, of_model = data.class_names[first:], class_names[first:]
        nameless = of_data == (UNNAMED,) and len(of_model) == 1
        found = [0] if nameless else _by_name(of_data, of_model, kind)
        ids = [number if number == _NONE else number + first for number in found]
        to_model = np.array([*range(first), *ids], np.int64)
        if all(number == _NONE for number in ids):
            raise DatasetError(
                f"{data.name} and {model} have no class in common: {_some(of_data)} and {_some(of_model)}"
            )
        measured = tuple(sorted({int(number) for number in to_model if number != _NONE}))
        unknown = tuple(name for name, number in zip(of_data, ids, strict=True) if number == _NONE)
        return cls(to_model, measured, unknown)

    def translate(self, target: Target) -> Target | None:
        """Converts the ground truth of an image to the model's class ids.

        Returns:
            None where the image's one class is unknown to the model. Objects of unknown classes are left out, pixels
            of unknown classes are ignored. A target without classes is returned unchanged.
        """
        if isinstance(target, ClassTarget):
            class_id = int(self.to_model[target.class_id])
            return None if class_id == _NONE else ClassTarget(class_id)
        if isinstance(target, ObjectTarget):
            class_ids = self.to_model[target.class_ids]
            known = class_ids != _NONE
            return replace(target, class_ids=class_ids).only(known)
        if not isinstance(target, RegionTarget):  # pyright: ignore[reportUnnecessaryIsInstance]  # of a further kind
            return target
        table = np.full(256, 255, np.uint8)
        known = self.to_model != _NONE
        table[np.flatnonzero(known)] = self.to_model[known]
        return RegionTarget(table[target.class_map])


def _by_name(of_data: tuple[str, ...], of_model: tuple[str, ...], kind: KindEvaluation) -> list[int]:
    """By name as it is written, or else in lower case with spaces for `_` and `-`; the first of equal names.

    Classifiers have equal names for different classes (ImageNet has two cranes): where a classifier's data set has the
    model's names in the model's order, a class is matched by its place.
    """
    if kind.matches_by_place and of_data == of_model:
        return list(range(len(of_data)))
    exact = _first_places(of_model)
    loose = _first_places(tuple(map(_simple, of_model)))
    return [exact.get(name, loose.get(_simple(name), _NONE)) for name in of_data]


def _first_places(names: tuple[str, ...]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        places.setdefault(name, place)
    return places


def _simple(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} others"
