"""An answer of a classifier about a photo of a cat, as JSON and as the client gives it."""

from __future__ import annotations

from services.client import Classification, ClassPrediction

RESULT = {
    "image": {"height": 300, "width": 451},
    "predictions": [
        {"class_id": 285, "class_name": "Egyptian cat", "probability": 0.7},
        {"class_id": 281, "class_name": "tabby", "probability": 0.2},
    ],
    "cached": False,
}
HEAD = {"model": "org/cat-net", "version": "3", "request_id": "r1"}
CAT = Classification(
    "org/cat-net",
    "3",
    (300, 451),
    (ClassPrediction(285, "Egyptian cat", 0.7), ClassPrediction(281, "tabby", 0.2)),
    False,
    "r1",
)
