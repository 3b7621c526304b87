"""Small ONNX files without a network in them: inputs and outputs of given shapes, for tests of what is read of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Dims = Sequence[int | str | None]

FLOAT, INT64, INT32, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8


def value(name: str, shape: Dims | None, dtype: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def model_of(
    outputs: Mapping[str, Dims],
    *,
    image: Dims = ("N", 3, 640, 640),
    image_type: int = FLOAT,
    types: Mapping[str, int] | None = None,
    operator: str | None = None,
    inputs: Sequence[Any] = (),
    first: Sequence[Any] = (),
    constants: Sequence[Any] = (),
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """A graph whose outputs are made of nothing: their numbers are never computed.

    Args:
        outputs: Shapes by name; numbers are sizes, the others are dynamic.
        image: Shape of the input `images`.
        image_type: Its type.
        types: Of outputs that are not float32.
        operator: Computes the last output; None: a constant of its shape, which says nothing.
        inputs: Further ones.
        first: Nodes that the input passes before anything else.
        constants: Initializers.
        metadata: Of the file.
    """
    types = types or {}
    nodes = list(first)
    for name in outputs:
        nodes.append(helper.make_node("RandomUniform", [], [f"{name}_0"], shape=[1]))
        nodes.append(helper.make_node(operator or "Clip", [f"{name}_0"], [name]))
    graph = helper.make_graph(
        nodes,
        "network",
        [value("images", image, image_type), *inputs],
        [value(name, shape, types.get(name, FLOAT)) for name, shape in outputs.items()],
        initializer=list(constants),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    helper.set_model_props(model, dict(metadata or {}))
    return model


def write(folder: Path, outputs: Mapping[str, Dims], name: str = "model.onnx", **options: Any) -> Path:
    """Writes such a graph as a file; see `model_of`."""
    path = folder / name
    path.write_bytes(model_of(outputs, **options).SerializeToString())
    return path


def constant(name: str, numbers: Sequence[float], shape: Sequence[int] = ()) -> Any:
    return numpy_helper.from_array(np.array(numbers, np.float32).reshape(shape or (1, len(numbers), 1, 1)), name)
