"""The annotations of several tasks in one picture: an object that two models found is drawn once."""

from __future__ import annotations

import numpy as np

from models.drawing.annotations import Annotation
from models.drawing.merging import merged
from models.geometry.masks import Mask

MASK = Mask.from_array(np.ones((8, 8), bool))


def person(box: tuple[float, float, float, float], score: float, **more: object) -> Annotation:
    return Annotation(0, "person", score, box, **more)  # type: ignore[arg-type]


def test_a_single_task_stays_as_it_is() -> None:
    alone = [person((0, 0, 4, 4), 0.5), person((0, 0, 4, 4), 0.9)]
    assert merged([alone]) == alone and merged([[], alone]) == alone and merged([]) == []


def test_an_object_of_two_tasks_has_the_box_of_the_first_and_the_mask_of_the_second() -> None:
    (found,) = merged([[person((0, 0, 4, 4), 0.6)], [person((0, 0, 4, 5), 0.9, mask=MASK, color_key=0)]])
    assert (found.box, found.score, found.mask) == ((0, 0, 4, 4), 0.6, MASK)


def test_objects_of_other_classes_or_places_stay_apart_best_first() -> None:
    dog = Annotation(1, "dog", 0.8, (0, 0, 4, 4))
    found = merged([[person((0, 0, 4, 4), 0.6)], [dog, person((5, 5, 9, 9), 0.7)]])
    assert [one.score for one in found] == [0.8, 0.7, 0.6]


def test_two_objects_of_one_task_never_become_one() -> None:
    twice = [person((0, 0, 4, 4), 0.9), person((0, 0, 4, 4), 0.8)]
    assert len(merged([[person((0, 0, 4, 4), 0.7)], twice])) == 2


def test_classes_and_regions_follow_the_objects() -> None:
    cup = Annotation(3, "cup", 0.9)
    assert merged([[cup], [person((0, 0, 4, 4), 0.2)]])[1] == cup
