"""Converts torch networks to OpenVINO, which runs them on CPUs (https://docs.openvino.ai).

A network is traced by TorchScript, and the trace is translated by OpenVINO's PyTorch frontend. `openvino.convert_model`
does the same, but reports every call to Google Analytics unless the user has opted out; the frontend reports nothing.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

import threading
import warnings
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from models.execution.openvino_library import (
    ConversionExtension,
    FrontEndManager,
    TorchScriptPythonDecoder,
    openvino,
    opset,
)

_ONE_AT_A_TIME: Final = threading.Lock()
"""A trace is recorded in global variables of torch, and the filters of warnings are those of the process."""


@torch.no_grad()
def convert(network: nn.Module, example: Tensor, other: Tensor) -> openvino.Model:
    """Converts a network; the dimensions in which the two examples differ become dynamic.

    Args:
        network: A float32 network in evaluation mode, from one tensor to one or a tuple of them.
        example: An input, on which the network is traced.
        other: Another input.

    Returns:
        The model, which has copies of the network's parameters.

    Raises:
        TypeError: Its control flow depends on data, so that a trace is true for the example only.
        Exception: Whatever torch or OpenVINO raise where they cannot convert it.
    """
    with _ONE_AT_A_TIME:
        decoder = TorchScriptPythonDecoder(_traced(network, example), example_input=(example,), shared_memory=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        frontend.add_extension(ConversionExtension("aten::flip", _flip))
        model = frontend.convert(frontend.load(decoder))
    shape = [size if size == another else -1 for size, another in zip(example.shape, other.shape, strict=True)]
    model.reshape({0: openvino.PartialShape(shape)})
    return model


def _traced(network: nn.Module, example: Tensor) -> Any:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # torch calls its tracer deprecated; torch.export takes ten times as long
        warnings.simplefilter("always", TracerWarning)
        traced: Any = torch.jit.trace(network, (example,), check_trace=False, strict=False)
    for warning in caught:
        raise TypeError(f"its graph depends on data: {str(warning.message).partition('.')[0]}")
    return traced


def _flip(node: Any) -> list[Any]:
    return [flipped(node.get_input(0), node.get_values_from_const_input(1))]


def flipped(values: Any, axes: Sequence[int]) -> Any:
    """Reverses axes by a gather: OpenVINO runs a reversed slice by its reference implementation, 0.6 ms for one image.

    Args:
        values: An output of a node.
        axes: Of the values.

    Returns:
        An output of a node.
    """
    for axis in axes:
        size = opset.squeeze(opset.gather(opset.shape_of(values), [axis], 0), [0])
        values = opset.gather(values, opset.range(opset.subtract(size, 1), -1, -1, "i64"), axis).output(0)
    return values
