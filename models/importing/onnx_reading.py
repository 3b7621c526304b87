"""Reads what an ONNX file says of its inputs and outputs, without its weights where these are in other files."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from models.errors import UnusableModel

if TYPE_CHECKING:
    from onnx import ModelProto

Shape = tuple[int | None, ...]
SIZES_INPUT: Final = "orig_target_sizes"
"""Second input of the official exports of RT-DETR and D-FINE: (N, 2) int64, the width and height that boxes are
scaled to."""
_IMAGE_TYPES: Final = ("float32", "float16", "uint8")
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains of operators that ONNX Runtime has."""
_PASSING: Final = frozenset({"Identity", "Cast", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose"})
"""Operators that do not change what a number means."""
_BEGINNINGS: Final = (
    (b"PK\x03\x04", "is a zip archive, as PyTorch's checkpoints are"),
    (b"\x80\x02", "is a pickle, as old PyTorch checkpoints are"),
    (b"\x89HDF", "is an HDF5 file, as Keras writes them"),
    (b"version https://git-lfs", "is a pointer of Git LFS; fetch the file itself with `git lfs pull`"),
)


@dataclass(frozen=True)
class OutputTensor:
    """One output of a network.

    Attributes:
        name: In the file.
        shape: None for a dimension that depends on the input; the whole is None where the file does not say it.
        dtype: As numpy calls it.
        operator: The ONNX operator that computes its numbers; empty where unknown.
    """

    name: str
    shape: Shape | None
    dtype: str
    operator: str = ""

    @property
    def sizes(self) -> Shape:
        """The shape; empty where it is not known."""
        return self.shape or ()

    @property
    def is_integer(self) -> bool:
        """Whether its numbers are integers."""
        return "int" in self.dtype

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name} of any shape"
        return f"{self.name} ({', '.join('?' if size is None else str(size) for size in self.shape)})"


@dataclass(frozen=True)
class ImageTensor:
    """The input for images.

    Attributes:
        name: In the file.
        axes: Order of batch, channels, height and width.
        dtype: `float32`, `float16` or `uint8`.
        batch_size: None where any.
        size: (height, width) in pixels; None where any.
    """

    name: str
    axes: Literal["NCHW", "NHWC"]
    dtype: str
    batch_size: int | None
    size: tuple[int, int] | None


@dataclass(frozen=True)
class OnnxGraph:
    """Inputs, outputs and metadata of an ONNX file.

    Attributes:
        image: See `ImageTensor`.
        takes_sizes: Whether there is also `SIZES_INPUT`.
        outputs: In the order of the file.
        metadata: What the exporter wrote.
        model: All of it.
    """

    image: ImageTensor
    takes_sizes: bool
    outputs: tuple[OutputTensor, ...]
    metadata: dict[str, str]
    model: ModelProto


def read_onnx(path: Path) -> ModelProto:
    """Reads a file without external data.

    Raises:
        UnusableModel: There is no such file, it is no ONNX file, or the package `onnx` is not installed.
    """
    if not path.is_file():
        raise UnusableModel(str(path), "is a folder; name the file in it" if path.is_dir() else "there is no such file")
    if find_spec("onnx") is None:
        raise UnusableModel(str(path), "looking into ONNX files needs onnx: pip install 'tapetum[export]'")
    with path.open("rb") as file:
        beginning = file.read(32)
    if not beginning:
        raise UnusableModel(str(path), "is empty")
    for magic, reason in _BEGINNINGS:
        if beginning.startswith(magic):
            raise UnusableModel(str(path), f"is no ONNX file: it {reason}")
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise UnusableModel(str(path), "is no ONNX file, or is truncated") from error
    if not model.ir_version or not model.graph.node:
        raise UnusableModel(str(path), "is no ONNX file: it has no graph")
    return model


def graph_of(model: ModelProto, path: Path) -> OnnxGraph:
    """Describes the inputs and outputs of a model.

    Args:
        model: From `read_onnx`.
        path: Of its file.

    Raises:
        UnusableModel: It has operators that are not of ONNX, no image input, several, further inputs, or one that is
            not square.
    """
    _require_operators(model, path)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    image, takes_sizes = _image_among(inputs, path)
    outputs = tuple(_outputs_of(model))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return OnnxGraph(image, takes_sizes, outputs, metadata, model)


def _require_operators(model: ModelProto, path: Path) -> None:
    from onnx import defs

    own = {(function.domain, function.name) for function in model.functions}
    unknown = sorted(
        {
            node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
            for node in _nodes_of(model.graph)
            if (node.domain, node.op_type) not in own
            and (node.domain not in _DOMAINS or (node.domain in ("", "ai.onnx") and not defs.has(node.op_type)))
        }
    )
    if unknown:
        hint = "; only TensorRT has it: export without NMS" if any("NMS" in name for name in unknown) else ""
        raise UnusableModel(str(path), f"needs {', '.join(unknown[:5])}, which is no operator of ONNX{hint}")


def _nodes_of(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _nodes_of(inner)


def _image_among(inputs: list[Any], path: Path) -> tuple[ImageTensor, bool]:
    images = [value for value in inputs if _is_image(value)]
    listed = ", ".join(f"{value.name} {_dtype(value)} {_written(_shape(value))}" for value in inputs) or "none"
    if not images:
        hint = "; export with a batch of one image, (1, 3, H, W)" if any(_is_unbatched(one) for one in inputs) else ""
        message = f"has no input for images, (N, 3, H, W) or (N, H, W, 3) in {', '.join(_IMAGE_TYPES)}"
        raise UnusableModel(str(path), f"{message}; its inputs: {listed}{hint}")
    if len(images) > 1:
        raise UnusableModel(str(path), f"has {len(images)} inputs for images, and one is supported: {listed}")
    (image,) = images
    others = [value for value in inputs if value is not image]
    takes_sizes = any(_is_sizes(value) for value in others)
    if len(others) > takes_sizes:
        unknown = ", ".join(f"{value.name!r}" for value in others if not _is_sizes(value))
        raise UnusableModel(str(path), f"needs the inputs {unknown} besides images; export it without them")
    return _described(image, path), takes_sizes


def _described(value: Any, path: Path) -> ImageTensor:
    shape = _shape(value)
    assert shape is not None
    axes: Literal["NCHW", "NHWC"] = "NHWC" if shape[3] == 3 and shape[1] != 3 else "NCHW"
    batch_size, height, width = shape[0], *(shape[2:] if axes == "NCHW" else shape[1:3])
    if height is not None and width is not None and height != width:
        message = f"takes images of {height} x {width} pixels (height x width); export it with a square or dynamic size"
        raise UnusableModel(str(path), message)
    side = height or width
    return ImageTensor(value.name, axes, _dtype(value), batch_size, (side, side) if side else None)


def _is_image(value: Any) -> bool:
    shape = _shape(value)
    if shape is None or len(shape) != 4 or _dtype(value) not in _IMAGE_TYPES:
        return False
    return shape[1] == 3 or shape[3] == 3 or shape[1] is None


def _is_unbatched(value: Any) -> bool:
    shape = _shape(value)
    return shape is not None and len(shape) == 3 and shape[0] in (3, None)


def _is_sizes(value: Any) -> bool:
    return value.name == SIZES_INPUT and "int" in _dtype(value)


def _outputs_of(model: ModelProto) -> Iterator[OutputTensor]:
    values = list(model.graph.output)
    if any(_shape(value) is None or None in (_shape(value) or ()) for value in values):
        values = _inferred(model) or values
    producers = {name: node for node in model.graph.node for name in node.output}
    for value in values:
        yield OutputTensor(value.name, _shape(value), _dtype(value), _operator(value.name, producers))


def _inferred(model: ModelProto) -> list[Any] | None:
    """The outputs with the shapes that follow from those of the inputs; None where that fails."""
    from onnx import shape_inference

    try:
        return list(shape_inference.infer_shapes(model, data_prop=True).graph.output)
    except Exception:  # onnx has no common class, and shapes are a help only
        return None


def _operator(name: str, producers: dict[str, Any]) -> str:
    node = producers.get(name)
    while node is not None and node.op_type in _PASSING and node.input:
        node = producers.get(node.input[0])
    return node.op_type if node is not None else ""


def _shape(value: Any) -> Shape | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(
        size.dim_value if size.HasField("dim_value") and size.dim_value > 0 else None for size in tensor.shape.dim
    )


def _dtype(value: Any) -> str:
    from onnx import TensorProto, helper

    number = value.type.tensor_type.elem_type
    return str(helper.tensor_dtype_to_np_dtype(number)) if number != TensorProto.UNDEFINED else "unknown"


def _written(shape: Shape | None) -> str:
    return "of any shape" if shape is None else f"({', '.join('?' if size is None else str(size) for size in shape)})"
