"""Response of `GET /v1/models/{name}/layers`: pydantic models, also the schemas of `/docs`."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from services.kinds.schemas import Answered, Schema


class LayerField(Schema):
    """The receptive field of a layer, by axis (rows, columns), in pixels of the network's input."""

    whole_image: bool = Field(description="Whether every unit sees all of the input.")
    size: tuple[int | None, ...] = Field(description="Pixels that a unit sees, from the first to the last; null: all.")
    stride: tuple[float | None, ...] = Field(description="Pixels from one unit to the next; null: every unit sees all.")


class LayerAnswer(Schema):
    """One call of a layer."""

    name: str = Field(description="Of the module in the network; the parameter `layer` of `/v1/explain`.")
    type: str = Field(description="Class of the module, such as `Conv2d`.")
    call: int = Field(ge=1, description="Above 1 where the network runs the module again.")
    output_shape: tuple[int, ...] = Field(description="Channels, rows, columns; or as the layer has it.")
    kernel: tuple[int, ...] | None = Field(description="By axis, of a convolution or of pooling; null for others.")
    stride: tuple[int, ...] | None
    dilation: tuple[int, ...] | None
    padding: tuple[int, ...] | str | None
    groups: int | None
    parameters: int = Field(ge=0, description="Weights and biases; of a module that runs again, with its first call.")
    receptive_field: LayerField | None = Field(description="Null where it is not known.")
    has_maps: bool = Field(description="Whether `method=features` of `/v1/explain` shows its maps.")
    per_region: bool = Field(description="Whether it runs on each region that a two-stage model found.")


class FilterSheet(Schema):
    """The filters of the first convolution: zero is grey, three input channels are red, green and blue."""

    layer: str
    count: int = Field(ge=1)
    sheet: str = Field(description="A PNG file in base64.")


class LayersAnswer(Answered):
    """The layers of a network in the order in which they run; those that run on regions come last."""

    task: str
    input_shape: tuple[int, ...] = Field(description="Channels, rows, columns of the input that shapes are for.")
    parameters: int = Field(ge=0, description="Of all layers.")
    layers: tuple[LayerAnswer, ...]
    filters: FilterSheet | None = Field(description="Null where the network has no convolution.")
    took_ms: float


LAYERS_EXAMPLE: Final[dict[str, Any]] = {
    "model": "efficientnet-lite0",
    "version": "1",
    "task": "classification",
    "input_shape": [3, 224, 224],
    "parameters": 864,
    "layers": [
        {
            "name": "stem.0",
            "type": "Conv2d",
            "call": 1,
            "output_shape": [32, 112, 112],
            "kernel": [3, 3],
            "stride": [2, 2],
            "dilation": [1, 1],
            "padding": [1, 1],
            "groups": 1,
            "parameters": 864,
            "receptive_field": {"whole_image": False, "size": [3, 3], "stride": [2, 2]},
            "has_maps": True,
            "per_region": False,
        }
    ],
    "filters": {
        "layer": "stem.0",
        "count": 32,
        "sheet": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4//8/AAX+Av7czFnnAAAAAElFTkSuQmCC",
    },
    "took_ms": 212.7,
    "request_id": "5f0c8a52a8d14d4c",
}
"""An example response to `GET /v1/models/{name}/layers`, cut short."""
