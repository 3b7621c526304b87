"""What travels between a gateway and a model replica: plain tuples of bytes, so that pickling costs microseconds.

A gateway sends a list of `Item` and gets a list of `Outcome` of the same length and order. An image that fails is an
outcome, never an exception, so that it fails alone.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from models.adapter import Parameters, SegmentationParameters
from models.drawing.mask_pngs import indexed_png, png
from models.entries import MaskFormat
from models.geometry.masks import Mask
from models.geometry.polygons import polygons
from models.predictions import Classification, Detections, InstanceMasks, Prediction, SemanticMask
from services.accuracy.drift import Summary

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
        identity: Of the model that the gateway expects to answer; empty where it expects none.
    """

    model: str
    image: bytes
    parameters: dict[str, Any]
    deadline_s: float
    identity: bytes = b""


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
            `class_map`; None where `failure` says why not.
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
    """What every answer says of one image, whoever asked for it and however: best first, numbers rounded.

    Masks are written one at a time. On a photo of 12 megapixels that took 1 ms for a hundred objects as run lengths,
    250 ms as PNG and 310 ms as polygons, and 20 ms for each class of a semantic mask: never do it on an event loop.

    Args:
        prediction: The model's.
        class_names: The model's name of every class id.
        parameters: What the model was told; without them, masks are written as run lengths.

    Returns:
        A JSON object with `image` and `predictions`, and with `class_map` for a semantic mask as PNG.
    """
    height, width = prediction.image_size
    told = parameters if isinstance(parameters, SegmentationParameters) else SegmentationParameters()
    return {"image": {"height": height, "width": width}, **WRITERS[type(prediction)](prediction, class_names, told)}


def _classes(prediction: Classification, class_names: Sequence[str], _: SegmentationParameters) -> dict[str, Any]:
    rows = zip(prediction.class_ids.tolist(), prediction.probabilities.tolist(), strict=True)
    return {
        "predictions": [
            {
                "class_id": class_id,
                "class_name": class_names[class_id],
                "probability": round(probability, PROBABILITY_DIGITS),
            }
            for class_id, probability in rows
        ]
    }


def _objects(prediction: Detections, class_names: Sequence[str], _: SegmentationParameters) -> dict[str, Any]:
    rows = zip(prediction.boxes.tolist(), prediction.class_ids.tolist(), prediction.scores.tolist(), strict=True)
    return {
        "predictions": [
            {
                "box": dict(zip(BOX_MEMBERS, (round(edge, PIXEL_DIGITS) for edge in box), strict=True)),
                "class_id": class_id,
                "class_name": class_names[class_id],
                "score": round(score, PROBABILITY_DIGITS),
            }
            for box, class_id, score in rows
        ]
    }


def _instances(prediction: InstanceMasks, class_names: Sequence[str], told: SegmentationParameters) -> dict[str, Any]:
    """Objects, each with its pixels."""
    write = _MASKS[told.mask_format]
    rows = zip(_objects(prediction, class_names, told)["predictions"], prediction.masks, strict=True)
    return {"predictions": [{**row, "area_pixels": mask.area, "mask": write(mask)} for row, mask in rows]}


def _regions(prediction: SemanticMask, class_names: Sequence[str], told: SegmentationParameters) -> dict[str, Any]:
    """Classes, most pixels first, each with its pixels; as PNG, those of all of them in one map."""
    as_map = told.mask_format == "png"
    image_pixels = prediction.class_map.size
    rows: list[dict[str, Any]] = []
    for index, class_id in enumerate(prediction.class_ids.tolist()):
        pixels = prediction.class_map == class_id
        area_pixels = int(np.count_nonzero(pixels))
        row = {"class_id": class_id, "class_name": class_names[class_id], "area_pixels": area_pixels}
        row["fraction"] = round(area_pixels / image_pixels, PROBABILITY_DIGITS)
        if prediction.probabilities is not None:
            row["probability"] = round(float(prediction.probabilities[index]), PROBABILITY_DIGITS)
        if not as_map:
            row["mask"] = _MASKS[told.mask_format](Mask.from_array(pixels))
        rows.append(row)
    rows.sort(key=lambda row: -row["area_pixels"])
    return {"predictions": rows, **({"class_map": _base64(indexed_png(prediction.class_map))} if as_map else {})}


def _base64(file: bytes) -> str:
    return b64encode(file).decode("ascii")


_MASKS: Final[Mapping[MaskFormat, Callable[[Mask], Any]]] = {
    "rle": Mask.to_coco,
    "polygon": polygons,
    "png": lambda mask: _base64(png(mask)),
}
"""How the mask of one object or class is written down, by `mask_format`."""

WRITERS: Final[dict[type[Any], Callable[..., dict[str, Any]]]] = {
    Classification: _classes,
    Detections: _objects,
    InstanceMasks: _instances,
    SemanticMask: _regions,
}
"""By type of prediction, from a prediction, the class names and the parameters to the members of its answer."""
