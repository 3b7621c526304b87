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
    """

    method: Method = "gradcam"
    wanted_class: str | int | None = None
    target: Target | None = None
    layer: str | None = None


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


@dataclass(frozen=True, eq=False)
class Sheet:
    """A contact sheet of the maps of a layer.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        shown: Number of maps on it, those that vary most.
        channels: Channels of the layer.
        field_size: Pixels of the network's input that a cell sees along the longer side; None: not known, or all.
        field_stride: Pixels of the input from one cell to the next; None likewise.
    """

    picture: NDArray[np.uint8]
    shown: int
    channels: int
    field_size: int | None
    field_stride: float | None


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
