"""Weights of an ONNX file that lie in files beside it: finds them, and makes one file of all."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from models.errors import UnusableModel

if TYPE_CHECKING:
    from onnx import ModelProto

MOST_BYTES: Final = 2**31 - 1
"""Of one ONNX file: Protocol Buffers holds no larger message."""


def require_external_files(model: ModelProto, path: Path) -> tuple[str, ...]:
    """Checks that the files with the weights are there, whole, and beside the model or in a folder of it.

    Args:
        model: Read without its external data.
        path: Of its file.

    Returns:
        Their paths from the folder of the model, each once.

    Raises:
        UnusableModel: One is missing, too short, or lies elsewhere.
    """
    needed: dict[str, int] = {}
    for tensor in tensors_of(model.graph):
        if tensor.data_location == tensor.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            end = int(place.get("offset", 0)) + int(place.get("length", 0))
            needed[place.get("location", "")] = max(needed.get(place.get("location", ""), 0), end)
    for location, size in needed.items():
        _require(location, size, path)
    return tuple(needed)


def _require(location: str, size: int, path: Path) -> None:
    parts = PurePosixPath(location).parts
    if not parts or ".." in parts or PurePosixPath(location).is_absolute():
        raise UnusableModel(str(path), f"keeps weights at {location!r}; they must be in a file beside it")
    file = path.parent / location
    if not file.is_file():
        raise UnusableModel(str(path), f"keeps weights in {location!r}, which is not beside it; copy both files")
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise UnusableModel(str(path), f"keeps weights in {location!r}, which is a link to another folder")
    if file.stat().st_size < size:
        raise UnusableModel(str(path), f"keeps weights in {location!r}, which is truncated; copy or export it again")


def tensors_of(graph: Any) -> Iterator[Any]:
    """Yields the constant tensors of a graph and of the graphs within its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from tensors_of(inner)


def self_contained(path: Path) -> bytes:
    """Reads an ONNX file with all of its weights.

    Args:
        path: A file that `models.importing.onnx_file.inspect_onnx` accepts.

    Returns:
        The file as it is where it has its weights in itself, else a file with the weights of the others.

    Raises:
        UnusableModel: It is no ONNX file, weights are missing, or all of them are too large for one file.
    """
    from models.importing.onnx_reading import read_onnx

    model = read_onnx(path)
    locations = require_external_files(model, path)
    if not locations:
        return path.read_bytes()
    total = path.stat().st_size + sum((path.parent / location).stat().st_size for location in locations)
    if total > MOST_BYTES:
        message = f"has {total / 2**30:.1f} GiB of weights, and one ONNX file holds less than 2 GiB; export it in fp16"
        raise UnusableModel(str(path), message)
    from onnx.external_data_helper import load_external_data_for_model

    load_external_data_for_model(model, str(path.parent))
    return model.SerializeToString()
