"""Finds the normalisation of pixels that an ONNX graph starts with."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from models.importing.found import InputRange

if TYPE_CHECKING:
    from onnx import ModelProto

UNCHANGED: Final[InputRange] = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Pixels from 0 to 255 as they are."""
UNIT: Final[InputRange] = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
"""Pixels from 0 to 1."""
_SKIPPED: Final = frozenset({"Cast", "CastLike", "Transpose", "Identity", "Unsqueeze", "Squeeze", "Gather", "Reshape"})
_ARITHMETIC: Final = {"Sub": np.subtract, "Add": np.add, "Mul": np.multiply, "Div": np.divide}
_MOST_STEPS: Final = 12
_FINE: Final = 0.1
"""A network that maps neighbouring grey levels to numbers that are closer than this takes levels from 0 to 255: the
smallest standard deviation in use is 0.22 of the unit range."""
_FAR: Final = 10.0
"""Likewise where 0 becomes a number farther from 0 than this, as of networks that only subtract a mean."""


@dataclass(frozen=True)
class OwnNormalisation:
    """The normalisation within a graph.

    Attributes:
        operators: Of ONNX, in their order.
        input_range: What the graph takes: `UNCHANGED` or `UNIT`.
    """

    operators: tuple[str, ...]
    input_range: InputRange


def own_normalisation(model: ModelProto, image: str) -> OwnNormalisation | None:
    """Finds the subtraction of a mean and the division by a standard deviation at the start of a graph.

    Args:
        model: Weights in other files are not looked at.
        image: Name of the input for images.

    Returns:
        What the graph does; None where it starts with something else.
    """
    constants = _constants(model)
    users: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    operators: list[str] = []
    values = np.array([0.0, 1.0])[:, None]
    name = image
    for _ in range(_MOST_STEPS):
        node = next((user for user in users.get(name, []) if user.op_type != "Shape"), None)
        if node is None:
            break
        if node.op_type in _ARITHMETIC and (done := _applied(node, name, values, constants)) is not None:
            operators.append(node.op_type)
            values = done
        elif node.op_type not in _SKIPPED:
            break
        name = node.output[0]
    if not operators:
        return None
    step = float(np.abs(values[1] - values[0]).max())
    takes_levels = step < _FINE or float(np.abs(values[0]).max()) > _FAR
    return OwnNormalisation(tuple(operators), UNCHANGED if takes_levels else UNIT)


def _applied(
    node: Any, name: str, values: NDArray[np.float64], constants: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64] | None:
    """What an operator makes of (2, 1 or 3) numbers; None where its other operand is no constant of 1 or 3."""
    first, second = node.input
    other = constants.get(second if first == name else first)
    if other is None or other.size not in (1, 3):
        return None
    flat = other.reshape(1, -1)
    given = (values, flat) if first == name else (flat, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _ARITHMETIC[node.op_type](*given)


def _constants(model: ModelProto) -> dict[str, NDArray[np.float64]]:
    """Constants of at most three numbers, also behind operators that only change their shape or type."""
    from onnx import numpy_helper

    found: dict[str, NDArray[np.float64]] = {}

    def keep(name: str, tensor: Any) -> None:
        if tensor.data_location != tensor.EXTERNAL and np.prod(tensor.dims) <= 3:
            found[name] = numpy_helper.to_array(tensor).astype(np.float64)

    for tensor in model.graph.initializer:
        keep(tensor.name, tensor)
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    keep(node.output[0], attribute.t)
        elif node.op_type in _SKIPPED and node.input and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found
