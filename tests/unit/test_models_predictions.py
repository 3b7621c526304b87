"""A prediction cannot be made with shapes, types or an order that do not hold."""

import numpy as np
import pytest

from models.predictions import Classification

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
