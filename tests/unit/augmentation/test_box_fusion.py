"""Weighted boxes fusion, on examples worked by hand and by its properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.augmentation.box_fusion import FoundBoxes, fuse


def found(*rows: tuple[float, float, float, float, float, int]) -> FoundBoxes:
    """Of rows of x_min, y_min, x_max, y_max, score, class id."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return FoundBoxes(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64))


def test_box_is_the_mean_by_score_and_its_score_the_mean():
    """(0.8 · 10 + 0.4 · 13) / 1.2 = 11, and (0.8 + 0.4) / 2 = 0.6."""
    fused = fuse([found((0, 0, 10, 10, 0.8, 1)), found((0, 0, 10, 13, 0.4, 1))])
    assert fused.boxes.tolist() == [[0, 0, 10, pytest.approx(11)]]
    assert fused.scores.tolist() == [pytest.approx(0.6)]
    assert (fused.class_ids.tolist(), fused.members) == ([1], (((0, 0), (1, 0)),))


def test_box_of_one_prediction_in_three_has_a_third_of_its_score():
    fused = fuse([found((5, 5, 9, 9, 0.6, 0)), found(), found()])
    assert fused.boxes.tolist() == [[5, 5, 9, 9]]
    assert fused.scores.tolist() == [pytest.approx(0.2)]


def test_more_boxes_than_predictions_count_as_one_for_each():
    """Two boxes of one prediction on one object, without the other: min(T, N) / N is 1."""
    fused = fuse([found((0, 0, 10, 10, 0.8, 0), (0, 0, 10, 10, 0.4, 0)), found()])
    assert fused.scores.tolist() == [pytest.approx(0.6)]


def test_boxes_of_different_classes_stay_apart():
    fused = fuse([found((0, 0, 10, 10, 0.8, 0)), found((0, 0, 10, 10, 0.7, 1))])
    assert sorted(fused.class_ids.tolist()) == [0, 1]


def test_boxes_that_overlap_by_no_more_than_the_threshold_stay_apart():
    """Their IoU is 0.5, whose threshold is 0.55 in the paper."""
    assert len(fuse([found((0, 0, 10, 10, 0.8, 0)), found((0, 0, 10, 5, 0.8, 0))]).scores) == 2
    assert len(fuse([found((0, 0, 10, 10, 0.8, 0)), found((0, 0, 10, 5, 0.8, 0))], 0.49).scores) == 1


def test_box_joins_the_one_that_it_overlaps_most():
    fused = fuse([found((0, 0, 10, 10, 0.9, 0), (0, 4, 10, 14, 0.8, 0)), found((0, 3, 10, 13, 0.5, 0))])
    assert fused.members[[len(one) for one in fused.members].index(2)] == ((0, 1), (1, 0))


def test_later_boxes_are_compared_with_the_fused_box():
    """[0, 10] and [4, 14] have an IoU of 0.43; with [2, 12] between them all three become one."""
    fused = fuse([found((0, 0, 10, 10, 0.5, 0)), found((2, 0, 12, 10, 0.5, 0)), found((3, 0, 13, 10, 0.5, 0))])
    assert fused.boxes.tolist() == [[pytest.approx(5 / 3), 0, pytest.approx(35 / 3), 10]]


def test_nothing_is_fused_to_nothing():
    fused = fuse([found(), found()])
    assert (fused.boxes.shape, fused.scores.shape, fused.members) == ((0, 4), (0,), ())


def test_boxes_without_score_or_area_make_no_nan():
    fused = fuse([found((0, 0, 10, 10, 0.0, 0), (5, 5, 5, 5, 0.0, 0)), found((0, 0, 10, 12, 0.0, 0))])
    assert np.isfinite(fused.boxes).all() and fused.scores.tolist() == [0.0, 0.0]
    assert [0, 0, 10, 11] in fused.boxes.tolist()


@st.composite
def predictions(draw: st.DrawFn) -> list[FoundBoxes]:
    """One to four predictions of a few boxes, whose scores are all different."""
    counts = draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    scores = draw(st.permutations([(rank + 1) / 32 for rank in range(sum(counts))]))
    corner, side = st.integers(0, 40), st.integers(1, 30)
    made: list[FoundBoxes] = []
    for count in counts:
        rows = [draw(st.tuples(corner, corner, side, side, st.integers(0, 1))) for _ in range(count)]
        made.append(found(*((x, y, x + w, y + h, scores.pop(), c) for x, y, w, h, c in rows)))
    return made


@given(predictions())
def test_every_box_is_in_one_fused_box_which_lies_within_them(given_boxes: list[FoundBoxes]):
    fused = fuse(given_boxes)
    members = [member for one in fused.members for member in one]
    assert sorted(members) == [(n, row) for n, one in enumerate(given_boxes) for row in range(len(one.scores))]
    assert np.all(np.diff(fused.scores) <= 0)
    for box, score, class_id, its in zip(fused.boxes, fused.scores, fused.class_ids, fused.members, strict=True):
        boxes = np.stack([given_boxes[n].boxes[row] for n, row in its])
        scores = [given_boxes[n].scores[row] for n, row in its]
        assert np.all(box >= boxes.min(0) - 1e-4) and np.all(box <= boxes.max(0) + 1e-4)
        assert 0 < score <= max(scores) + 1e-6
        assert {given_boxes[n].class_ids[row] for n, row in its} == {class_id}


@given(predictions())
def test_order_of_predictions_does_not_matter(given_boxes: list[FoundBoxes]):
    one, other = fuse(given_boxes), fuse(given_boxes[::-1])
    assert np.allclose(one.boxes, other.boxes, atol=1e-3) and np.allclose(one.scores, other.scores)


@given(predictions())
def test_prediction_without_overlaps_is_returned_as_it_is(given_boxes: list[FoundBoxes]):
    (first, *_) = given_boxes
    fused = fuse([first], iou_threshold=1.0)  # which nothing exceeds
    order = np.argsort(-first.scores)
    assert np.allclose(fused.boxes, first.boxes[order]) and np.allclose(fused.scores, first.scores[order])


@given(predictions(), st.integers(2, 4))
def test_equal_predictions_change_neither_boxes_nor_scores(given_boxes: list[FoundBoxes], count: int):
    far_apart = given_boxes[0]
    far_apart.boxes[:, 0::2] += 100 * np.arange(len(far_apart.boxes), dtype=np.float32)[:, None]
    once, often = fuse([far_apart]), fuse([far_apart] * count)
    assert np.allclose(once.boxes, often.boxes, atol=1e-3) and np.allclose(once.scores, often.scores)


def test_hundreds_of_boxes_of_several_classes_are_fused_as_by_a_plain_loop():
    """Each box is compared with the fused boxes of its class only."""
    random = np.random.default_rng(4)
    given_boxes: list[FoundBoxes] = []
    for _ in range(3):
        corners, sides = random.uniform(0, 300, (120, 2)), random.uniform(10, 60, (120, 2))
        boxes = np.hstack([corners, corners + sides]).astype(np.float32)
        given_boxes.append(FoundBoxes(boxes, random.random(120).astype(np.float32), random.integers(0, 5, 120)))
    fused = fuse(given_boxes)
    wanted = plainly_fused(given_boxes)
    assert 100 < len(wanted) < 360 and {len(rows) for _, _, rows in wanted} > {1, 2}
    for (class_id, box, rows), index in zip(wanted, order_of_first_members(fused.members, wanted), strict=True):
        assert fused.class_ids[index] == class_id and fused.members[index] == tuple(rows)
        assert np.allclose(fused.boxes[index], box, atol=1e-3)


def plainly_fused(given_boxes: list[FoundBoxes]) -> list[tuple[int, np.ndarray, list[tuple[int, int]]]]:
    """(class, box, members) of each fused box."""
    rows = [(n, row) for n, one in enumerate(given_boxes) for row in range(len(one.scores))]
    made: list[tuple[int, np.ndarray, list[tuple[int, int]]]] = []
    for n, row in sorted(rows, key=lambda place: -given_boxes[place[0]].scores[place[1]]):
        box, class_id = given_boxes[n].boxes[row].astype(float), int(given_boxes[n].class_ids[row])
        best = max(range(len(made)), key=lambda i: iou(made[i][1], box) * (made[i][0] == class_id), default=None)
        if best is None or made[best][0] != class_id or iou(made[best][1], box) <= 0.55:
            made.append((class_id, box, [(n, row)]))
            continue
        members = [*made[best][2], (n, row)]
        weights = [float(given_boxes[m].scores[r]) for m, r in members]
        mean = np.average([given_boxes[m].boxes[r].astype(float) for m, r in members], axis=0, weights=weights)
        made[best] = (class_id, mean, members)
    return made


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Of two boxes."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = sides.clip(0).prod()
    return float(shared / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - shared))


def order_of_first_members(members: tuple[tuple[tuple[int, int], ...], ...], wanted: list[Any]) -> list[int]:
    """The index in `members` of each fused box of `wanted`, by its first member."""
    places = {rows[0]: index for index, rows in enumerate(members)}
    return [places[rows[0]] for _, _, rows in wanted]
