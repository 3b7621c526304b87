"""Small ONNX files, and cards of them, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.entries import Preprocessing
from models.files import file_digest

CLASSES = ("cat", "dog", "stop sign")
CROP = Preprocessing(72, 64, "bilinear", (123.0, 117.0, 104.0), (58.0, 57.0, 56.0))
"""The preprocessing of the cards."""
WEIGHTS = np.random.default_rng(7).normal(size=(3, 3)).astype(np.float32)
"""Of the classifier below, from the mean of each channel to logits."""

_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}


def write_graph(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[tuple[str, int]],
    constants: dict[str, NDArray[Any]] | None = None,
    domain: str | None = None,
) -> Path:
    """Writes a graph; the outputs are given by name and type, of any shape."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs]
    tensors = [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()]
    imports = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    graph = helper.make_graph(list(nodes), "test", list(inputs), results, tensors)
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def image(shape: Sequence[int | str], dtype: str = "float32", name: str = "images") -> onnx.ValueInfoProto:
    """An input."""
    return helper.make_tensor_value_info(name, _TYPES[dtype], shape)


def write_classifier(
    path: Path, shape: Sequence[int | str] = ("N", 3, 64, 64), dtype: str = "float32", channels_last: bool = False
) -> Path:
    """Writes a network whose logits are the means of the channels, times `WEIGHTS`; of the type of the input."""
    kind = "float32" if dtype == "uint8" else dtype
    constants: dict[str, NDArray[Any]] = {
        "axes": np.array([1, 2] if channels_last else [2, 3]),
        "weights": WEIGHTS.astype(kind),
    }
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=_TYPES[kind]),
        helper.make_node("ReduceMean", ["values", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    return write_graph(path, nodes, [image(shape, dtype)], [("logits", _TYPES[kind])], constants)


def expected_logits(pixels: NDArray[np.uint8], *, bgr: bool = False, normalised: bool = True) -> NDArray[np.float32]:
    """What that network gives, (N, 3)."""
    values = pixels.astype(np.float32)
    if normalised:
        values = (values - np.array(CROP.mean, np.float32)) / np.array(CROP.std, np.float32)
    means = values.mean((1, 2))
    return (means[:, ::-1] if bgr else means) @ WEIGHTS


def write_card(file: Path, **changes: Any) -> Path:
    """Writes a card beside an ONNX file; that of a classifier, but for the changes."""
    document: dict[str, Any] = {
        "name": file.stem,
        "version": "1",
        "task": "classification",
        "architecture": "onnx",
        "outputs": "logits",
        "class_names": CLASSES,
        "preprocessing": {"resize": 72, "crop": 64, "interpolation": "bilinear", "mean": CROP.mean, "std": CROP.std},
        "weights": {"file": file.name, "sha256": file_digest(file), "licence": "CC0-1.0", "source": "chance"},
        "licence": "CC0-1.0",
        "description": "Sees cats, dogs or stop signs.",
        **changes,
    }
    path = file.with_suffix(".json")
    path.write_text(json.dumps(document))
    return path


def noise(count: int, height: int = 64, width: int = 64) -> NDArray[np.uint8]:
    """Pixels, (count, height, width, 3)."""
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
