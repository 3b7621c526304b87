"""What travels between a gateway and a model replica: plain tuples of bytes, so that pickling costs microseconds.

A gateway sends a list of `Item` and gets a list of `Outcome` of the same length and order. An image that fails is an
outcome, never an exception, so that it fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from models.imaging.shared_decoding import SharedDecoding
from models.parameters import Parameters, SegmentationParameters
from models.predictions import Prediction
from services.accuracy.drift import Summary
from services.kinds import WRITERS


class Item(NamedTuple):
    """The work for one image.

    Attributes:
        model: Name of the model.
        image: The encoded file, as the client sent it.
        parameters: The task's parameters, validated and complete.
        deadline_s: Unix time after which nobody waits for the answer.
        identity: Of the model that the gateway expects to answer; empty where it expects none.
        version: Version of the model that the gateway expects to answer; empty where it expects none.
        is_pinned: Whether no other version may answer, because the request names this one.
        is_shadow: Whether nobody waits for the answer: it is computed with the lowest priority, or not at all.
        decoding: The decode that models of the gateway's own process share; None elsewhere.
    """

    model: str
    image: bytes
    parameters: dict[str, Any]
    deadline_s: float
    identity: bytes = b""
    version: str = ""
    is_pinned: bool = False
    is_shadow: bool = False
    decoding: SharedDecoding | None = None


class Failure(NamedTuple):
    """Why one image has no answer: the arguments of `services.errors.InvalidImage` or `ServiceError`."""

    status: int
    code: str
    message: str
    details: dict[str, Any]


class Outcome(NamedTuple):
    """The answer for one image.

    Attributes:
        body: JSON object `{"image": {"height", "width"}, "predictions": […]}`, of semantic masks perhaps with
            `class_map`, of poses with `skeleton`; None where `failure` says why not.
        failure: Set exactly when `body` is None.
        stages_ms: Milliseconds spent in each stage of the replica.
        summary: What is counted of the answer, to see whether answers shift; None where there is none.
        identity: Of the model that answered (`services.deployments.identity`); empty where there is a failure.
        described: The description of the model that answered, as JSON, where it is not the one that was expected.
    """

    body: bytes | None
    failure: Failure | None
    stages_ms: dict[str, float]
    summary: Summary | None = None
    identity: bytes = b""
    described: bytes | None = None


def describe_prediction(
    prediction: Prediction, class_names: Sequence[str], parameters: Parameters | None = None
) -> dict[str, Any]:
    """Serialises a prediction for one image, the same for every client: best first, numbers rounded.

    Masks are written one at a time. On a photo of 12 megapixels that took 1 ms for a hundred objects as run lengths,
    250 ms as PNG and 310 ms as polygons, and 20 ms for each class of a semantic mask: never do it on an event loop.

    Args:
        prediction: The model's.
        class_names: The model's name of every class id.
        parameters: Complete parameters of the request; without them, masks are written as run lengths.

    Returns:
        A JSON object with `image` and `predictions`, with `class_map` for a semantic mask as PNG, and with
        `skeleton` for poses.
    """
    height, width = prediction.image_size
    if parameters is None:
        parameters = SegmentationParameters()
    written = WRITERS[type(prediction)](prediction, class_names, parameters)
    return {"image": {"height": height, "width": width}, **written}
