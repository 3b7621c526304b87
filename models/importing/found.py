"""What a file says of the model in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.entries import Kind, LetterboxPreprocessing, Preprocessing

InputRange = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of R, G and B on the scale 0 to 255: pixels are normalised as (pixel - mean) / std."""


@dataclass(frozen=True)
class FoundModel:
    """What a file says of the model in it; None, or nothing, where it does not say.

    Attributes:
        format: `onnx` or `checkpoint` (a state dict, as .pth or .safetensors).
        architecture: For the card: `onnx`, or the name of an architecture.
        kinds: What its predictions may be, the likeliest first; several where the user has to choose.
        outputs: Layouts of `models.outputs.layouts` that fit, the likeliest first; empty where the architecture says
            it.
        class_count: Number of classes, without the background of a detector.
        class_names: One for every class id.
        input_size: (height, width) in pixels that the network takes; None where any.
        stride: The sides of an input must be multiples of this.
        normalisation: See `InputRange`.
        channels: Order of the colours.
        keep_aspect: Of a detector or a segmenter: whether images are padded, and not stretched.
        preprocessing: The whole preprocessing, where the file or the architecture says it; then input size, stride,
            normalisation and `keep_aspect` are those of it.
        arguments: Keyword arguments of the architecture, for the card.
        usual_size: (height, width) in pixels that a network of any size was trained or exported with.
        evidence: Lines for people: what was found, and where in the file.
    """

    format: Literal["onnx", "checkpoint"]
    architecture: str | None
    kinds: tuple[Kind, ...]
    outputs: tuple[str, ...] = ()
    class_count: int | None = None
    class_names: tuple[str, ...] | None = None
    input_size: tuple[int, int] | None = None
    stride: int | None = None
    normalisation: InputRange | None = None
    channels: Literal["rgb", "bgr"] = "rgb"
    keep_aspect: bool = True
    preprocessing: Preprocessing | LetterboxPreprocessing | None = None
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict[str, int | float | str | bool])
    usual_size: tuple[int, int] | None = None
    evidence: tuple[str, ...] = field(default=())
