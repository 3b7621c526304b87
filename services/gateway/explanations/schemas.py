"""Parameters and response of `POST /v1/explain`: pydantic models, also the schemas of `/docs`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StrictInt
from pydantic_core import PydanticCustomError

from services.kinds.request_parameters import Name, Render, TaskParameters
from services.kinds.schemas import Answered, ImageSize, Schema


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


class ExplainParameters(TaskParameters):
    """Explains a prediction: shows which parts of the image count towards a class or a box.

    Send one image as the raw body, as multipart field `image`, or in base64 in JSON.
    """

    model: str | None = Field(
        default=None,
        description="Name of a served model, or one of its versions as `NAME@VERSION`; the first served model by "
        "default.",
    )
    render: Render | None = Field(
        default=None,
        description="Return the map drawn over the image, as `format=overlay`; by default `Accept` decides.",
    )
    method: Literal["gradcam", "occlusion", "features"] = Field(
        default="gradcam",
        description="`gradcam`: by gradients of a layer's maps. `occlusion`: by covering parts of the image, slower, "
        "for every model. `features`: the maps of a layer themselves.",
    )
    wanted_class: StrictInt | Name | None = Field(
        default=None, alias="class", description="Name or id of the class to explain; the best one by default."
    )
    box: Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, le=10_000)] | None = Field(
        default=None,
        description="Index of the object to explain, in the answer of `/v1/detect` or `/v1/segment` for the same image "
        "and the model's default parameters; the best one by default.",
    )
    layer: Name | None = Field(
        default=None, description="Name of the layer whose maps are used; the one that suits the model by default."
    )
    call: Annotated[int, BeforeValidator(_no_boolean), Field(ge=1, le=1000)] = Field(
        default=1,
        description="Of `method=features`: which call of the layer, where the network runs it several times.",
    )
    format: Literal["json", "heatmap", "overlay"] | None = Field(
        default=None,
        description="`json`: numbers. `heatmap`: the map as PNG. `overlay`: drawn over the image. By default `Accept` "
        "decides.",
    )


class ExplainedHeat(Schema):
    """A map of values from 0 to 1, 1 the greatest."""

    height: int = Field(ge=1, description="Rows.")
    width: int = Field(ge=1, description="Columns.")
    area: tuple[float, float, float, float] = Field(
        description="x_min, y_min, x_max, y_max of what all cells together cover, in pixels of the upright image. A "
        "classifier sees its centre crop; cells at the right and lower edge may reach beyond the image."
    )
    values: tuple[tuple[float, ...], ...] = Field(description="Row by row.")


class ReceptiveFieldSize(Schema):
    """What a cell of a map sees, in pixels of the network's input; null where that is all, or not known."""

    size: int | None
    stride: float | None


class Tile(Schema):
    """A map on the sheet: its channel, and its upper left corner in pixels."""

    channel: int
    x: int
    y: int


class SeenSpans(Schema):
    """What the units of a map see of the upright image, in its pixels; may lie beyond it."""

    rows: tuple[tuple[float, float], ...] = Field(description="First and last y of each row of units.")
    columns: tuple[tuple[float, float], ...] = Field(description="First and last x of each column of units.")


class _Explained(Answered):
    task: str
    layer: str | None = Field(description="Layer of the maps; null of `occlusion`.")
    layers: tuple[str, ...] = Field(description="Layers that can be asked for; empty of `occlusion`.")
    image: ImageSize
    took_ms: float


class ExplainAnswer(_Explained):
    """Response of `method=gradcam` and `method=occlusion`."""

    method: Literal["gradcam", "occlusion"]
    class_id: int
    class_name: str
    score: float = Field(ge=0, le=1, description="Of the plain float32 network, which is explained.")
    box: tuple[float, float, float, float] | None = Field(
        description="x_min, y_min, x_max, y_max in pixels of the upright image; null where the model has no boxes."
    )
    heat: ExplainedHeat


class FeaturesAnswer(_Explained):
    """Response of `method=features`."""

    method: Literal["features"]
    receptive_field: ReceptiveFieldSize
    channels: int = Field(ge=1, description="Channels of the layer.")
    shown: int = Field(ge=1, description="Maps on the sheet: those that vary most.")
    map: ImageSize = Field(description="Units of each map.")
    tile: ImageSize = Field(description="Of each map on the sheet in pixels.")
    tiles: tuple[Tile, ...]
    seen: SeenSpans | None = Field(description="What each unit sees; null where it is not known.")
    sheet: str = Field(description="A PNG file in base64.")


_COMMON: Final[dict[str, Any]] = {
    "model": "efficientnet-lite0",
    "version": "1",
    "task": "classification",
    "layer": "head",
    "layers": ["stem", "stages.0.0.depthwise.0", "head"],
    "image": {"height": 400, "width": 600},
    "took_ms": 112.4,
    "request_id": "5f0c8a52a8d14d4c",
}
EXPLAIN_EXAMPLES: Final[dict[str, Any]] = {
    "a class": {
        **_COMMON,
        "method": "gradcam",
        "class_id": 967,
        "class_name": "espresso",
        "score": 0.949,
        "box": None,
        "heat": {"height": 2, "width": 2, "area": [125.0, 25.0, 475.0, 375.0], "values": [[0.1, 0.3], [1.0, 0.6]]},
    },
    "method=features": {
        **_COMMON,
        "method": "features",
        "receptive_field": {"size": 851, "stride": 32.0},
        "channels": 1280,
        "shown": 64,
        "map": {"height": 2, "width": 2},
        "tile": {"height": 96, "width": 96},
        "tiles": [{"channel": 17, "x": 6, "y": 6}],
        "seen": {"rows": [[25.0, 375.0], [25.0, 375.0]], "columns": [[125.0, 475.0], [125.0, 475.0]]},
        "sheet": "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVQI12P4//8/AAX+Av7czFnnAAAAAElFTkSuQmCC",
    },
}
"""Example responses to `POST /v1/explain`."""
