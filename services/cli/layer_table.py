"""Text of the layers of a network: a table on a terminal, tab-separated lines in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from models.explaining.layers import Layer
    from services.client.network_layers import Layer as LayerOfServer

    Listed = Layer | LayerOfServer

_COLUMNS: Final = ("layer", "type", "output", "kernel", "stride", "dilation", "padding", "parameters", "field", "jump")
_RIGHT: Final = ("parameters", "field", "jump")
_WHOLE: Final = "whole image"
_REGION: Final = "its region"


def layer_fields(layer: Listed) -> tuple[str, ...]:
    """The cells of a layer: name, type, output shape, kernel, stride, dilation, padding, parameters, size and stride of
    the receptive field; empty where it has none."""
    field = layer.receptive_field
    return (
        layer.name if layer.call == 1 else f"{layer.name} ({layer.call})",
        layer.type if layer.groups in (None, 1) else f"{layer.type}, {layer.groups} groups",
        " × ".join(map(str, layer.output_shape)),
        _sides(layer.kernel),
        _sides(layer.stride),
        _sides(layer.dilation),
        layer.padding if isinstance(layer.padding, str) else _sides(layer.padding),
        f"{layer.parameters:,}" if layer.parameters else "",
        _REGION if layer.per_region else "?" if field is None else _WHOLE if field.whole_image else _sides(field.size),
        "" if field is None or field.whole_image else _sides(field.stride),
    )


def layer_table(layers: Sequence[Listed]) -> Table:
    """All layers, one a row; those without parameters or a window are dim."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in _COLUMNS:
        table.add_column(
            name, justify="right" if name in _RIGHT else "left", overflow="fold" if name == "layer" else "ellipsis"
        )
    for layer in layers:
        style = "" if layer.kernel is not None or layer.type == "Linear" else "dim"
        table.add_row(*(Text(cell) for cell in layer_fields(layer)), style=style)
    return table


def totals(model: str, layers: Sequence[Listed], input_shape: Sequence[int]) -> str:
    """One line: how many layers and parameters, and the shape of the input."""
    count = len({layer.name for layer in layers})
    parameters = sum(layer.parameters for layer in layers)
    shape = " × ".join(map(str, input_shape))
    return f"{model}: {count} layers, {parameters:,} parameters, input {shape}"


def _sides(sides: Sequence[float | None] | None) -> str:
    """One number where all axes are alike; `all` for an axis that is seen whole."""
    if sides is None:
        return ""
    texts = ["all" if side is None else f"{side:g}" for side in sides]
    return texts[0] if len(set(texts)) == 1 else " × ".join(texts)
