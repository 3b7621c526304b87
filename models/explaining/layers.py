"""The layers of a network in the order in which they run: shapes, windows, parameters, receptive fields."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from models.explaining.field_tracing import FieldTracing
from models.explaining.module_calls import ModuleCall, watched
from models.explaining.receptive_field import ReceptiveField

_MOST_STRETCHED: Final = 2.0
"""Ratio of the pixels of a unit along both sides; it differs from 1 where an odd number of units is rounded."""


@dataclass(frozen=True)
class Layer:
    """One call of a layer.

    Attributes:
        name: Of the module in the network, such as `stages.0.0.depthwise.0`.
        type: Class of the module, such as `Conv2d`.
        call: 1, or a higher number where the network runs the module again, as detectors do on each level of a pyramid.
        output_shape: Of one image, (channels, rows, columns) or as the layer has it.
        kernel: Of a convolution or of pooling, by axis; None for others, as are the next three.
        stride: By axis.
        dilation: By axis.
        padding: By axis; `same` as the layer has it.
        groups: Of a convolution; None for others.
        parameters: Number of weights and biases; those of a module that runs again count once, with the first call.
        receptive_field: None where it is not known: windowed attention, operations without a rule.
        has_maps: Whether its output is feature maps over the image, see `is_map`.
        per_region: Whether it runs on each region that a two-stage model found, of which every unit sees all or a part.
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
    has_maps: bool = False
    per_region: bool = False

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, transposed or not."""
        return "Conv" in self.type and self.kernel is not None

    def to_dict(self) -> dict[str, object]:
        """JSON-able, by the names of the attributes."""
        field = self.receptive_field
        return {**vars(self), "receptive_field": None if field is None else field.to_dict()}


def layers_of(network: nn.Module, input_shape: Sequence[int]) -> list[Layer]:
    """Runs a network once and lists its layers: all modules without parts that run, but those that do nothing.

    Args:
        network: In evaluation mode, from a batch of images to tensors; it is not changed.
        input_shape: Of one image, (channels, rows, columns), or of a signal, (channels, samples). Where maps of several
            strides meet, sides that are multiples of the largest one make their receptive fields exact.

    Returns:
        The layers, in the order of their calls.
    """
    return watched_layers(network, _blank(network, input_shape))


def watched_layers(
    network: nn.Module, image: Tensor, keep: Callable[[Layer, Tensor], None] | None = None
) -> list[Layer]:
    """Runs a network once and lists its layers, see `layers_of`.

    Args:
        network: In evaluation mode, from a batch of images to tensors; it is not changed.
        image: (1, channels, rows, columns), normalised, or (1, channels, samples).
        keep: Called with each layer and its output, (1, *output_shape), which later layers may overwrite.
    """
    found: list[Layer] = []
    calls: Counter[str] = Counter()

    def add(call: ModuleCall) -> None:
        if call.has_parts or isinstance(call.module, nn.Identity):
            return
        calls[call.name] += 1
        layer = _layer(call, calls[call.name], fields.field_of(call.output))
        found.append(replace(layer, has_maps=is_map(call.output, image)))
        if keep is not None:
            keep(found[-1], call.output)

    with torch.no_grad(), FieldTracing(image) as fields, watched(network, add):
        network(image)
    return found


def receptive_fields(network: nn.Module, input_shape: Sequence[int]) -> dict[str, ReceptiveField]:
    """The receptive fields of all modules by name, those with parts, too; of the first call of each.

    Those that are not known are left out.

    Args:
        network: See `layers_of`.
        input_shape: See `layers_of`.
    """
    image = _blank(network, input_shape)
    known: dict[str, ReceptiveField | None] = {}

    def add(call: ModuleCall) -> None:
        known.setdefault(call.name, fields.field_of(call.output))

    with torch.no_grad(), FieldTracing(image) as fields, watched(network, add):
        network(image)
    return {name: field for name, field in known.items() if field is not None}


def is_map(output: Tensor, image: Tensor) -> bool:
    """Whether an output has several units along the axes of the image: transformers have channels last, or one row.

    Args:
        output: Of a layer, (1, channels, …).
        image: The input of the network, (1, channels, rows, columns) or (1, channels, samples).
    """
    if output.ndim != image.ndim or output.shape[2:].numel() <= 1:
        return False
    ratios = [side / max(1, units) for side, units in zip(image.shape[2:], output.shape[2:], strict=True)]
    return max(ratios) <= _MOST_STRETCHED * min(ratios)


def _blank(network: nn.Module, input_shape: Sequence[int]) -> Tensor:
    first: Tensor = next(network.parameters(), torch.zeros(0))
    return torch.zeros(1, *input_shape, dtype=first.dtype, device=first.device)


def _layer(call: ModuleCall, number: int, field: ReceptiveField | None) -> Layer:
    module, output = call.module, call.output
    axes = max(1, output.ndim - 2)
    kernel = _by_axis(module, "kernel_size", axes)
    padding = getattr(module, "padding", None)
    return Layer(
        name=call.name,
        type=type(module).__name__,
        call=number,
        output_shape=tuple(output.shape[1:]),
        kernel=kernel,
        stride=_by_axis(module, "stride", axes) if kernel else None,
        dilation=_by_axis(module, "dilation", axes) if kernel else None,
        padding=padding if isinstance(padding, str) else _by_axis(module, "padding", axes) if kernel else None,
        groups=getattr(module, "groups", None) if kernel else None,
        parameters=sum(parameter.numel() for parameter in module.parameters()) if number == 1 else 0,
        receptive_field=field,
    )


def _by_axis(module: nn.Module, attribute: str, axes: int) -> tuple[int, ...] | None:
    value: Any = getattr(module, attribute, None)
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,) * axes
    return tuple(cast("Sequence[int]", value)) if isinstance(value, tuple | list) else None
