"""The typed answer of `Client.explain`."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict

Method = Literal["gradcam", "occlusion", "features"]
Area = tuple[float, float, float, float]


class ExplanationParameters(TypedDict, total=False):
    """What a prediction is explained by; what is left out is as the server has it.

    Attributes:
        model: Name of a served model, or `NAME@VERSION`.
        method: `gradcam`, `occlusion` or `features`.
        class_: Name or id of the class to explain; the best one by default.
        box: Index of the object to explain, in the answer of `detect` or `segment` to the same image.
        layer: Name of the layer whose maps are used.
        call: Of `features`: which call of the layer, where the network runs it several times.
    """

    model: str | None
    method: Method | None
    class_: str | int | None
    box: int | None
    layer: str | None
    call: int | None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """How much each part of an image counts.

    Attributes:
        area: x_min, y_min, x_max, y_max that all cells together cover, in pixels of the upright image.
        values: Row by row, 0 to 1.
    """

    area: Area
    values: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class FeatureSheet:
    """A contact sheet of the maps of a layer.

    Attributes:
        picture: A PNG file.
        shown: Maps on it.
        channels: Channels of the layer.
        field_size: Pixels of the network's input that a cell sees; None: all, or not known.
        field_stride: Pixels from one cell to the next; None likewise.
        map_size: (rows, columns) of each map.
        tile_size: (height, width) of each map on the picture in pixels.
        tiles: Channel, x and y of the upper left corner of each map on the picture.
        rows: First and last y that each row of cells sees, in pixels of the upright image; None where it is not known.
        columns: First and last x of each column; None likewise.
    """

    picture: bytes
    shown: int
    channels: int
    field_size: int | None
    field_stride: float | None
    map_size: tuple[int, int]
    tile_size: tuple[int, int]
    tiles: tuple[tuple[int, int, int], ...]
    rows: tuple[tuple[float, float], ...] | None
    columns: tuple[tuple[float, float], ...] | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a model predicts what it does for an image.

    Attributes:
        model: Name of the model.
        version: Its version.
        task: Its task.
        method: How it is explained.
        layer: Layer of the maps; None of `occlusion`.
        layers: Layers that can be asked for.
        image_size: (height, width) of the upright image in pixels.
        class_id: The class that is explained; None of `features`, like all that follows but for `sheet`.
        class_name: Its name.
        score: Of the plain float32 network, 0 to 1.
        box: x_min, y_min, x_max, y_max of the object; None where the model has no boxes.
        heat: The map.
        sheet: The maps of `features`; None of other methods.
        took_ms: Milliseconds on the server.
        request_id: Id of the request, also in the server's log.
        document: The whole answer, as it came.
    """

    model: str
    version: str
    task: str
    method: Method
    layer: str | None
    layers: tuple[str, ...]
    image_size: tuple[int, int]
    class_id: int | None
    class_name: str | None
    score: float | None
    box: Area | None
    heat: HeatMap | None
    sheet: FeatureSheet | None
    took_ms: float
    request_id: str
    document: Mapping[str, Any]

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """From the answer of the server."""
        heat, box = body.get("heat"), body.get("box")
        return cls(
            model=body["model"],
            version=body["version"],
            task=body["task"],
            method=body["method"],
            layer=body["layer"],
            layers=tuple(body["layers"]),
            image_size=(body["image"]["height"], body["image"]["width"]),
            class_id=body.get("class_id"),
            class_name=body.get("class_name"),
            score=body.get("score"),
            box=None if box is None else _area(box),
            heat=None if heat is None else HeatMap(_area(heat["area"]), tuple(map(tuple, heat["values"]))),
            sheet=_sheet(body) if "sheet" in body else None,
            took_ms=body["took_ms"],
            request_id=body["request_id"],
            document=body,
        )


def _sheet(body: Mapping[str, Any]) -> FeatureSheet:
    field, seen = body["receptive_field"], body["seen"]
    return FeatureSheet(
        picture=b64decode(body["sheet"]),
        shown=body["shown"],
        channels=body["channels"],
        field_size=field["size"],
        field_stride=field["stride"],
        map_size=(body["map"]["height"], body["map"]["width"]),
        tile_size=(body["tile"]["height"], body["tile"]["width"]),
        tiles=tuple((one["channel"], one["x"], one["y"]) for one in body["tiles"]),
        rows=seen and _spans(seen["rows"]),
        columns=seen and _spans(seen["columns"]),
    )


def _spans(pairs: Any) -> tuple[tuple[float, float], ...]:
    return tuple((low, high) for low, high in pairs)


def _area(edges: Any) -> Area:
    x_min, y_min, x_max, y_max = edges
    return x_min, y_min, x_max, y_max
