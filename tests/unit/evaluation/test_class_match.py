"""Which class of a data set is which class of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from models.datasets.samples import (
    ClassTarget,
    DatasetError,
    Kind,
    LabelProblem,
    ObjectTarget,
    RegionTarget,
    Sample,
)
from services.evaluation.class_match import ClassMatch


@dataclass
class Data:
    """A data set of which only the classes matter."""

    class_names: tuple[str, ...]
    kind: Kind = "detection"
    name: str = "data"
    category_ids: tuple[int, ...] = ()
    digest: str = ""
    problems: Sequence[LabelProblem] = ()

    def __len__(self) -> int:
        return 0

    def load(self, index: int) -> Sample:
        raise IndexError(index)


def match(data: Data, *class_names: str) -> ClassMatch:
    return ClassMatch.of(data, "model", class_names)


def test_classes_are_matched_by_name_and_not_by_place() -> None:
    found = match(Data(("cat", "dog", "emu")), "dog", "cat", "cow")
    assert found.to_model.tolist() == [1, 0, -1]
    assert (found.measured, found.unknown) == ((0, 1), ("emu",))


def test_case_hyphens_and_underscores_make_no_other_class() -> None:
    assert match(Data(("Traffic_Light",)), "bus", "traffic light").measured == (1,)


def test_an_exact_name_comes_before_one_in_other_case() -> None:
    assert match(Data(("Cat",)), "cat", "Cat").measured == (1,)


def test_equal_lists_of_a_classifier_are_matched_by_place_since_names_may_stand_there_twice() -> None:
    names = ("crane", "crane", "emu")
    assert match(Data(names, "classification"), *names).to_model.tolist() == [0, 1, 2]


def test_nameless_objects_are_those_of_a_model_that_knows_one_class() -> None:
    assert match(Data(("object",)), "nucleus").measured == (0,)
    assert match(Data(("background", "object"), "semantic"), "background", "nucleus").measured == (0, 1)


def test_one_named_class_is_not_another_named_class() -> None:
    with pytest.raises(DatasetError, match="data and model have no class in common: dog and person"):
        match(Data(("dog",)), "person")


def test_the_background_alone_is_nothing_in_common() -> None:
    with pytest.raises(DatasetError, match="no class in common"):
        match(Data(("background", "dog"), "semantic"), "background", "person")


def test_objects_of_unknown_classes_are_left_out_of_a_target() -> None:
    found = match(Data(("cat", "dog")), "dog")
    boxes = np.array([[0, 0, 1, 1], [2, 2, 4, 4]], np.float64)
    target = ObjectTarget(boxes, np.array([0, 1]), np.array([1.0, 4.0]), np.array([False, True]))
    translated = found.translate(target)
    assert isinstance(translated, ObjectTarget)
    assert (translated.class_ids.tolist(), translated.areas.tolist(), translated.crowds.tolist()) == ([0], [4], [True])


def test_pixels_of_unknown_classes_are_ignored() -> None:
    found = match(Data(("background", "cat", "dog"), "semantic"), "background", "dog")
    translated = found.translate(RegionTarget(np.array([[0, 1, 2, 255]], np.uint8)))
    assert isinstance(translated, RegionTarget)
    assert translated.class_map.tolist() == [[0, 255, 1, 255]]


def test_an_image_of_an_unknown_class_has_no_target() -> None:
    found = match(Data(("cat", "dog"), "classification"), "dog", "cow")
    assert found.translate(ClassTarget(0)) is None
    assert found.translate(ClassTarget(1)) is not None
