"""Explanations between processes, as plain tuples, and as JSON and pictures for clients.

Importing this module does not load torch.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from PIL import Image

from models.drawing.picture import PictureFormat, encode
from models.explaining.explanation import Explanation, Method, Seen
from models.explaining.overlay import draw_heat, draw_heat_over
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS, decode
from services.answers.wire import Failure

if TYPE_CHECKING:
    from models.entries import CatalogEntry
    from models.explaining.network_layers import NetworkLayers

View = Literal["json", "heatmap", "overlay"]
"""What a client gets: numbers, the heat map alone, or drawn over the photo."""

MAX_SIDE: Final = 1600
"""Longest side of a picture of an explanation in pixels."""
_HEAT_DIGITS: Final = 4
_PIXEL_DIGITS: Final = 2
_SCORE_DIGITS: Final = 6


class ExplanationItem(NamedTuple):
    """The work for one explanation.

    Attributes:
        model: Name of the model as `NAME@VERSION`.
        image: The encoded file, as the client sent it.
        method: How it is explained; `layers` lists the layers of the network, and takes no image.
        wanted_class: Name or id of a class; None: the best one.
        box: x_min, y_min, x_max, y_max in pixels of the upright image, and the id of its class; None: the best one.
        layer: Name of the layer; None: the one that suits.
        call: Which call of the layer.
        view: What the client gets.
        picture_format: Of a picture.
        deadline_s: Unix time after which nobody waits.
    """

    model: str
    image: bytes
    method: Method | Literal["layers"]
    wanted_class: str | int | None
    box: tuple[float, float, float, float, int] | None
    layer: str | None
    call: int
    view: View
    picture_format: PictureFormat
    deadline_s: float

    @classmethod
    def of_layers(cls, model: str, deadline_s: float) -> ExplanationItem:
        """The work for a list of layers.

        Args:
            model: Name of the model as `NAME@VERSION`.
            deadline_s: Unix time after which nobody waits.
        """
        return cls(model, b"", "layers", None, None, None, 1, "json", "png", deadline_s)


class ExplanationOutcome(NamedTuple):
    """An explanation, or why there is none.

    Attributes:
        body: From `describe_explanation`; empty where a picture was asked for, or it failed.
        picture: The picture; None where numbers were asked for, or it failed.
        failure: Why there is none.
        stages_ms: Milliseconds spent in each stage.
    """

    body: dict[str, Any]
    picture: bytes | None
    failure: Failure | None
    stages_ms: dict[str, float]


def describe_explanation(explanation: Explanation) -> dict[str, Any]:
    """An explanation as a JSON object, without the time that it took and the id of its request."""
    height, width = explanation.image_size
    described: dict[str, Any] = {
        "model": explanation.model,
        "version": explanation.version,
        "task": explanation.task,
        "method": explanation.method,
        "layer": explanation.layer,
        "layers": list(explanation.layers),
        "image": {"height": height, "width": width},
    }
    if explanation.sheet is not None:
        sheet = explanation.sheet
        picture = encode(Image.fromarray(sheet.picture), "png")
        return {
            **described,
            "receptive_field": {"size": sheet.field_size, "stride": sheet.field_stride},
            "channels": sheet.channels,
            "shown": sheet.shown,
            "map": {"height": sheet.map_size[0], "width": sheet.map_size[1]},
            "tile": {"height": sheet.tile_size[0], "width": sheet.tile_size[1]},
            "tiles": [{"channel": channel, "x": x, "y": y} for channel, x, y in sheet.tiles],
            "seen": None if sheet.seen is None else _described_spans(sheet.seen),
            "sheet": b64encode(picture).decode(),
        }
    heat, score = explanation.heat, explanation.score
    assert heat is not None and score is not None
    values = heat.values.astype(np.float64).round(_HEAT_DIGITS).tolist()
    return {
        **described,
        "class_id": explanation.class_id,
        "class_name": explanation.class_name,
        "score": round(score, _SCORE_DIGITS),
        "box": None if explanation.box is None else _rounded(explanation.box),
        "heat": {
            "height": len(values),
            "width": len(values[0]),
            "area": _rounded(heat.area),
            "values": values,
        },
    }


def draw_explanation(
    explanation: Explanation,
    photo: bytes,
    view: View,
    picture_format: PictureFormat = "png",
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> bytes:
    """The picture of an explanation: the heat map, over the photo or alone, or the sheet of `features`.

    Args:
        explanation: The explanation.
        photo: The encoded photo.
        view: `overlay`; else the heat map alone.
        picture_format: Of the picture.
        max_bytes: The most bytes of the photo that are accepted.
        max_pixels: The most pixels of the photo that are accepted.

    Raises:
        ImageError: The photo cannot be read.
    """
    if explanation.sheet is not None:
        return encode(Image.fromarray(explanation.sheet.picture), picture_format)
    heat = explanation.heat
    assert heat is not None
    size = _picture_size(explanation.image_size)
    if view != "overlay":
        return encode(draw_heat(heat.values, heat.area, explanation.image_size, size), picture_format)
    pixels = decode(photo, min_short_side=min(size), max_bytes=max_bytes, max_pixels=max_pixels).pixels
    if pixels.shape[:2] != size:
        shrunk = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC, reducing_gap=2.0)
        pixels = np.asarray(shrunk)
    picture = draw_heat_over(pixels, heat.values, heat.area, explanation.image_size, explanation.box)
    return encode(picture, picture_format)


def describe_layers(entry: CatalogEntry, found: NetworkLayers) -> dict[str, Any]:
    """The layers of a network as a JSON object, without the time that it took and the id of its request."""
    filters = None
    if found.first is not None and found.filters is not None:
        picture = b64encode(encode(found.filters.image, "png")).decode()
        filters = {"layer": found.first.name, "count": len(found.filters.numbers), "sheet": picture}
    return {
        "model": entry.name,
        "version": entry.version,
        "task": entry.task,
        "input_shape": list(found.input_shape),
        "parameters": found.parameters,
        "layers": [layer.to_dict() for layer in found.layers],
        "filters": filters,
    }


def _described_spans(seen: Seen) -> dict[str, Any]:
    return {"rows": [_rounded(span) for span in seen.rows], "columns": [_rounded(span) for span in seen.columns]}


def _picture_size(image_size: tuple[int, int]) -> tuple[int, int]:
    factor = min(1.0, MAX_SIDE / max(image_size))
    height, width = (max(1, round(side * factor)) for side in image_size)
    return height, width


def _rounded(edges: tuple[float, ...]) -> list[float]:
    return [round(edge, _PIXEL_DIGITS) for edge in edges]
