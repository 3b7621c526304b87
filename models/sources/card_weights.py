"""Weights of a model card as safetensors, a format without code (https://github.com/huggingface/safetensors)."""

# pyright: reportUnknownVariableType=false

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from models.files import replaced

_QUANTIZED: Final = "openvino."
"""Prefix of the arrays that are no weights: the files of OpenVINO's intermediate representation, `xml` and `bin`."""


def save_weights(path: Path, state: Mapping[str, Tensor], *, exact: bool = False) -> str:
    """Writes a state dict as safetensors, atomically.

    Unless `exact` is set, kernels and matrices are rounded to half precision; biases and batch norms keep theirs, as
    they are small, and so do tensors that half precision cannot represent.

    Args:
        path: Where to.
        state: The state dict, on any device.
        exact: Whether every array keeps its precision.

    Returns:
        sha256 of the file in hex.
    """
    content = save({name: _whole(value) if exact else _stored(value) for name, value in state.items()})
    with replaced(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return sha256(content).hexdigest()


def load_weights(path: Path) -> dict[str, Tensor]:
    """Reads a state dict.

    Args:
        path: Of the safetensors file.

    Returns:
        The state dict on the CPU; floats of any precision as float32. A quantized network beside it is left out.

    Raises:
        ValueError: It is no safetensors file, or truncated.
        OSError: It cannot be read.
    """
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return {name: _read(value) for name, value in state.items() if not name.startswith(_QUANTIZED)}


def with_quantized(state: Mapping[str, Tensor], xml: bytes, weights: bytes) -> dict[str, Tensor]:
    """Returns a state dict with a quantized network beside it, for `save_weights`.

    Args:
        state: The state dict.
        xml: The graph, in OpenVINO's intermediate representation.
        weights: The constants of the graph.
    """
    xml_bytes, weights_bytes = (torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in (xml, weights))
    return {**state, f"{_QUANTIZED}xml": xml_bytes, f"{_QUANTIZED}bin": weights_bytes}


def load_quantized(path: Path) -> tuple[bytes, NDArray[np.uint8]]:
    """Reads the quantized network of a file.

    Args:
        path: Of the safetensors file.

    Returns:
        The graph and its constants, see `with_quantized`.

    Raises:
        ValueError: The file has no such network, or is damaged.
    """
    try:
        opened: Any = safe_open(path, "numpy")
        with opened as file:
            xml, weights = (file.get_tensor(f"{_QUANTIZED}{name}") for name in ("xml", "bin"))
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return xml.tobytes(), weights


def as_stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict as it is after saving and loading.

    Args:
        state: The state dict, on any device.

    Returns:
        The result of `load_weights` after `save_weights`.
    """
    return {name: _read(_stored(value)) for name, value in state.items()}


def _read(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _stored(value: Tensor) -> Tensor:
    value = value.detach().cpu()
    if value.is_floating_point():
        value = value.float()
        half = value.to(torch.float16)
        if value.ndim > 1 and torch.equal(half.isfinite(), value.isfinite()):
            value = half
    return _whole(value)


def _whole(value: Tensor) -> Tensor:
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)
