"""What an answer says of a prediction."""

from __future__ import annotations

import numpy as np

from models.predictions import Classification, Detections
from services.answers.wire import describe_prediction


def test_objects_are_written_best_first_with_their_numbers_rounded():
    boxes = np.array([[0, 1.2345, 30.999, 20], [5.005, 5, 6, 6]], np.float32)
    found = Detections(boxes, np.array([0.87654321, 0.25], np.float32), np.array([1, 0], np.int64), (20, 31))
    assert describe_prediction(found, ("cat", "dog")) == {
        "image": {"height": 20, "width": 31},
        "predictions": [
            {
                "box": {"x_min": 0.0, "y_min": 1.23, "x_max": 31.0, "y_max": 20.0},
                "class_id": 1,
                "class_name": "dog",
                "score": 0.876543,
            },
            {
                "box": {"x_min": 5.01, "y_min": 5.0, "x_max": 6.0, "y_max": 6.0},
                "class_id": 0,
                "class_name": "cat",
                "score": 0.25,
            },
        ],
    }


def test_image_with_nothing_in_it_has_an_empty_list():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), (4, 6))
    assert describe_prediction(nothing, ("cat",))["predictions"] == []


def test_classes_are_written_with_their_probabilities():
    classes = Classification(np.array([1], np.int64), np.array([1 / 3], np.float32), (4, 6))
    assert describe_prediction(classes, ("cat", "dog"))["predictions"] == [
        {"class_id": 1, "class_name": "dog", "probability": 0.333333}
    ]
