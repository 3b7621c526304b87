"""The typed answer of `Client.layers`."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The receptive field of a layer, by axis (rows, columns), in pixels of the network's input.

    Attributes:
        whole_image: Whether every unit sees all of the input.
        size: Pixels that a unit sees, from the first to the last; None: all.
        stride: Pixels from one unit to the next; None: every unit sees all.
    """

    whole_image: bool
    size: tuple[int | None, ...]
    stride: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One call of a layer.

    Attributes:
        name: Of the module in the network.
        type: Class of the module, such as `Conv2d`.
        call: 1, or a higher number where the network runs the module again.
        output_shape: Channels, rows, columns; or as the layer has it.
        kernel: Of a convolution or of pooling, by axis; None for others, as are the next three.
        stride: By axis.
        dilation: By axis.
        padding: By axis; `same` as the layer has it.
        groups: Of a convolution; None for others.
        parameters: Weights and biases; those of a module that runs again count once, with the first call.
        receptive_field: None where it is not known.
        has_maps: Whether `Client.explain` shows its maps with `method="features"`.
        per_region: Whether it runs on each region that a two-stage model found.
    """

    name: str
    type: str
    call: int
    output_shape: tuple[int, ...]
    kernel: tuple[int, ...] | None
    stride: tuple[int, ...] | None
    dilation: tuple[int, ...] | None
    padding: tuple[int, ...] | str | None
    groups: int | None
    parameters: int
    receptive_field: ReceptiveField | None
    has_maps: bool
    per_region: bool

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> Self:
        """From an entry of the server's answer; members that it has beside these are left out."""
        field = entry["receptive_field"]
        tuples = ("output_shape", "kernel", "stride", "dilation", "padding")
        given = {name: entry[name] for name in cls.__slots__}
        given |= {name: tuple(entry[name]) for name in tuples if isinstance(entry[name], list)}
        if field is not None:
            given["receptive_field"] = ReceptiveField(
                field["whole_image"], tuple(field["size"]), tuple(field["stride"])
            )
        return cls(**given)


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of the first convolution on one picture.

    Attributes:
        layer: Its name.
        count: How many there are.
        picture: A PNG file.
    """

    layer: str
    count: int
    picture: bytes


@dataclass(frozen=True, slots=True)
class NetworkLayers:
    """The layers of a model's network.

    Attributes:
        model: Name of the model.
        version: Its version.
        task: Its task.
        input_shape: Channels, rows, columns of the input that the shapes are for.
        parameters: Of all layers.
        layers: In the order in which they run; those that run on regions come last.
        filters: Of the first convolution; None where there is none.
        took_ms: Milliseconds on the server.
        request_id: Id of the request, also in the server's log.
        document: The whole answer, as it came.
    """

    model: str
    version: str
    task: str
    input_shape: tuple[int, ...]
    parameters: int
    layers: tuple[Layer, ...]
    filters: Filters | None
    took_ms: float
    request_id: str
    document: Mapping[str, Any]

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Self:
        """From the answer of the server."""
        filters = body["filters"]
        return cls(
            model=body["model"],
            version=body["version"],
            task=body["task"],
            input_shape=tuple(body["input_shape"]),
            parameters=body["parameters"],
            layers=tuple(map(Layer.parse, body["layers"])),
            filters=filters and Filters(filters["layer"], filters["count"], b64decode(filters["sheet"])),
            took_ms=body["took_ms"],
            request_id=body["request_id"],
            document=body,
        )
