"""What is asked of an explanation, and what it consists of; torch-free."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.entries import Kind, Task

Method = Literal["gradcam", "occlusion", "features"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
WITH_BOXES: Final[frozenset[Kind]] = frozenset({"detection", "instance"})
"""Kinds of models whose boxes can be explained."""
Area = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the upright image; may reach beyond it."""


@dataclass(frozen=True)
class Target:
    """The box that a detector is asked about.

    Attributes:
        box: x_min, y_min, x_max, y_max in pixels of the upright image.
        class_id: Its class.
    """

    box: Area
    class_id: int


@dataclass(frozen=True)
class Question:
    """A request for an explanation.

    Attributes:
        method: How the prediction is explained; `features` shows the maps of a layer instead.
        wanted_class: Name or id of the class that is explained; None: the best one.
        target: The box that is explained; None: the best one.
        layer: Name of the layer whose maps are used; None: the one that suits the model.
        call: Which call of the layer, where the network runs it several times; of `features` alone.
    """

    method: Method = "gradcam"
    wanted_class: str | int | None = None
    target: Target | None = None
    layer: str | None = None
    call: int = 1


@dataclass(frozen=True, eq=False)
class Heat:
    """How much each part of an image counts towards a score.

    Attributes:
        values: (h, w) float32 in [0, 1], 1 the greatest; all 0 where nothing raises the score.
        area: What all cells together cover.
    """

    values: NDArray[np.float32]
    area: Area

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise ValueError(f"values must be (h, w) float32, not {self.values.shape} {self.values.dtype}")


@dataclass(frozen=True)
class Seen:
    """What the units of a feature map see of an image, by their receptive fields.

    Attributes:
        rows: The first and the last y that each row of units sees, in pixels of the upright image; may lie beyond it.
        columns: The first and the last x of each column.
    """

    rows: tuple[tuple[float, float], ...]
    columns: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """A contact sheet of the maps of a layer.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        shown: Number of maps on it, those that vary most.
        channels: Channels of the layer.
        field_size: Pixels of the network's input that a cell sees along the longer side; None: not known, or all.
        field_stride: Pixels of the input from one cell to the next; None likewise.
        map_size: (rows, columns) of each map.
        tile_size: (height, width) of each map on the picture in pixels.
        tiles: Channel, x and y of the upper left corner of each map on the picture.
        seen: What each cell sees; None where it is not known.
    """

    picture: NDArray[np.uint8]
    shown: int
    channels: int
    field_size: int | None
    field_stride: float | None
    map_size: tuple[int, int]
    tile_size: tuple[int, int]
    tiles: tuple[tuple[int, int, int], ...]
    seen: Seen | None


@dataclass(frozen=True, eq=False)
class Explanation:
    """The answer to a `Question`.

    Attributes:
        model: Name of the model.
        version: Its version.
        task: Its task.
        method: As asked.
        image_size: (height, width) of the upright image in pixels.
        layer: Layer of the maps; None where the method needs none.
        layers: Layers that can be asked for, in the order of the network.
        class_id: The class that is explained; None of `features`.
        class_name: Its name.
        score: Score of the network for it, in [0, 1].
        box: Box that is explained; None where the model has no boxes.
        heat: The map; None of `features`.
        sheet: The maps of `features`.
    """

    model: str
    version: str
    task: Task
    method: Method
    image_size: tuple[int, int]
    layer: str | None = None
    layers: tuple[str, ...] = field(default=())
    class_id: int | None = None
    class_name: str | None = None
    score: float | None = None
    box: Area | None = None
    heat: Heat | None = None
    sheet: Sheet | None = None
