"""What travels between a gateway and a model replica: plain tuples of bytes, so that pickling costs microseconds.

A gateway sends a list of `Item` and gets a list of `Outcome` of the same length and order. An image that fails is an
outcome, never an exception, so that it fails alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from models.predictions import Classification, Detections, Prediction

PROBABILITY_DIGITS: Final = 6
PIXEL_DIGITS: Final = 2
BOX_MEMBERS: Final = ("x_min", "y_min", "x_max", "y_max")


class Item(NamedTuple):
    """The work for one image.

    Attributes:
        model: Catalog name.
        image: The encoded file, as the client sent it.
        parameters: The task's parameters, validated and complete.
        deadline_s: Unix time after which nobody waits for the answer.
    """

    model: str
    image: bytes
    parameters: dict[str, Any]
    deadline_s: float


class Failure(NamedTuple):
    """Why one image has no answer: the arguments of `services.errors.InvalidImage` or `ServiceError`."""

    status: int
    code: str
    message: str
    details: dict[str, Any]


class Outcome(NamedTuple):
    """The answer for one image.

    Attributes:
        body: JSON object `{"image": {"height", "width"}, "predictions": […]}`, or None where `failure` says why not.
        failure: Set exactly when `body` is None.
        stages_ms: Milliseconds spent in each stage of the replica.
    """

    body: bytes | None
    failure: Failure | None
    stages_ms: dict[str, float]


def encode_prediction(prediction: Prediction, class_names: Sequence[str]) -> bytes:
    """The JSON body of an `Outcome`."""
    return orjson.dumps(describe_prediction(prediction, class_names))


def describe_prediction(prediction: Prediction, class_names: Sequence[str]) -> dict[str, Any]:
    """What every answer says of one image, whoever asked for it and however: best first, numbers rounded."""
    height, width = prediction.image_size
    rows = _ROWS[type(prediction)](prediction, class_names)
    return {"image": {"height": height, "width": width}, "predictions": rows}


def _classes(prediction: Classification, class_names: Sequence[str]) -> list[dict[str, Any]]:
    rows = zip(prediction.class_ids.tolist(), prediction.probabilities.tolist(), strict=True)
    return [
        {
            "class_id": class_id,
            "class_name": class_names[class_id],
            "probability": round(probability, PROBABILITY_DIGITS),
        }
        for class_id, probability in rows
    ]


def _objects(prediction: Detections, class_names: Sequence[str]) -> list[dict[str, Any]]:
    rows = zip(prediction.boxes.tolist(), prediction.class_ids.tolist(), prediction.scores.tolist(), strict=True)
    return [
        {
            "box": dict(zip(BOX_MEMBERS, (round(edge, PIXEL_DIGITS) for edge in box), strict=True)),
            "class_id": class_id,
            "class_name": class_names[class_id],
            "score": round(score, PROBABILITY_DIGITS),
        }
        for box, class_id, score in rows
    ]


_ROWS: Final[Mapping[type[Prediction], Callable[..., list[dict[str, Any]]]]] = {
    Classification: _classes,
    Detections: _objects,
}
"""How the predictions of each task are written down."""
