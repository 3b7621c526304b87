"""What travels between a gateway and a model replica: plain tuples of bytes, so that pickling costs microseconds.

A gateway sends a list of `Item` and gets a list of `Outcome` of the same length and order. An image that fails is an
outcome, never an exception, so that it fails alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from models.predictions import Classification


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


def encode_prediction(prediction: Classification, class_names: tuple[str, ...]) -> bytes:
    """The JSON body of an `Outcome`, best class first."""
    height, width = prediction.image_size
    return orjson.dumps(
        {
            "image": {"height": height, "width": width},
            "predictions": [
                {"class_id": class_id, "class_name": class_names[class_id], "probability": round(probability, 6)}
                for class_id, probability in zip(
                    prediction.class_ids.tolist(), prediction.probabilities.tolist(), strict=True
                )
            ],
        }
    )
