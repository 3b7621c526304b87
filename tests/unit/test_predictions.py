"""A prediction cannot be made with shapes, types or an order that do not hold."""

import numpy as np
import pytest

from models.errors import NonFiniteOutput
from models.predictions import Classification, Detections, SemanticMask

IDS = np.array([3, 1], np.int64)


def test_parallel_arrays_in_descending_order_are_accepted():
    assert Classification(IDS, np.array([0.5, 0.5], np.float32), (4, 6)).class_ids.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("class_ids", "probabilities"),
    [
        (IDS, np.array([0.5], np.float32)),
        (IDS[None], np.array([[0.5, 0.1]], np.float32)),
        (IDS.astype(np.int32), np.array([0.5, 0.1], np.float32)),
        (IDS, np.array([0.5, 0.1], np.float64)),
        (IDS, np.array([0.1, 0.5], np.float32)),
    ],
    ids=["lengths", "dimensions", "ids", "probabilities", "order"],
)
def test_what_does_not_hold_is_refused(class_ids, probabilities):
    with pytest.raises(ValueError):
        Classification(class_ids, probabilities, (4, 6))


BOXES = np.array([[0, 0, 6, 4], [1, 1, 1, 3]], np.float32)
SCORES = np.array([0.9, 0.9], np.float32)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_any_number_of_boxes_within_the_image_is_accepted(count):
    found = Detections(BOXES[:count], SCORES[:count], IDS[:count], (4, 6))
    assert found.boxes.shape == (count, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": BOXES[:1]},
        {"boxes": BOXES[:, :3]},
        {"boxes": BOXES.astype(np.float64)},
        {"class_ids": IDS.astype(np.int32)},
        {"scores": np.array([0.1, 0.9], np.float32)},
        {"boxes": np.array([[0, 0, 6, 4], [1, 1, 0, 3]], np.float32)},
        {"boxes": np.array([[0, 0, 6, 5], [1, 1, 1, 3]], np.float32)},
        {"boxes": np.array([[-1, 0, 6, 4], [1, 1, 1, 3]], np.float32)},
        {"image_size": (6, 4)},
    ],
    ids=["lengths", "corners", "boxes", "ids", "order", "inverted", "beyond", "before", "turned"],
)
def test_detections_that_do_not_hold_are_refused(change):
    with pytest.raises(ValueError):
        Detections(**{"boxes": BOXES, "scores": SCORES, "class_ids": IDS, "image_size": (4, 6), **change})


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_by_name(number):
    scores = np.array([number, 0.5], np.float32)
    with pytest.raises(NonFiniteOutput, match="not finite"):
        Classification(IDS, scores, (4, 6))
    with pytest.raises(NonFiniteOutput):
        Detections(BOXES, scores, IDS, (4, 6))
    with pytest.raises(NonFiniteOutput):
        Detections(np.array([[0, 0, number, 4], [1, 1, 1, 3]], np.float32), SCORES, IDS, (4, 6))
    with pytest.raises(NonFiniteOutput):
        SemanticMask(np.zeros((4, 6), np.uint8), IDS[::-1], scores, (4, 6))
