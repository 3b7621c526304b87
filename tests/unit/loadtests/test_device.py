import numpy as np
import pytest

from loadtests.device_timing import median_s, of_one_shape, share_of_same
from models.adapter import ModelInput
from models.predictions import Classification, Detections


def _input(height: int, width: int) -> ModelInput:
    return ModelInput(np.zeros((height, width, 3), np.uint8), (height, width))


def test_inputs_of_the_most_frequent_shape_are_kept():
    inputs = [_input(32, 64), _input(64, 32), _input(64, 32)]
    assert of_one_shape(inputs) == inputs[1:]


def test_answers_are_the_same_where_the_best_classes_are_equal():
    some, others = (
        [Classification(np.array(ids), np.array([0.6, 0.4], np.float32), (1, 1)) for ids in batch]
        for batch in ([(1, 2), (1, 2)], [(1, 3), (2, 1)])
    )
    assert share_of_same(some, others) == 0.5


def test_answers_are_the_same_where_the_sure_boxes_are():
    box, nothing = np.array([[0, 0, 9, 9]], np.float32), np.zeros((0, 4), np.float32)
    found, missed = (
        Detections(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int64), (10, 10))
        for boxes in (box, nothing)
    )
    assert share_of_same([found, found, missed, missed], [found, missed, missed, missed]) == 0.75


def test_median_is_of_five_calls_at_least_after_two_for_warmth():
    calls: list[int] = []
    assert median_s(lambda: calls.append(1), 0.0) == pytest.approx(0.0, abs=0.01)
    assert len(calls) == 7
