"""Recognises the format of a model file by its first bytes."""

from pathlib import Path
from typing import Final, Literal

from models.errors import UnusableModel

FileFormat = Literal["onnx", "checkpoint"]
"""ONNX, or a state dict: of `torch.save`, or safetensors."""

_HEAD_BYTES: Final = 256
_SAFETENSORS_LENGTH: Final = 8
"""A safetensors file begins with the length of its JSON header, in 8 bytes."""

_OTHERS: Final = (
    (0, b"version https://git-lfs", "is a pointer of Git LFS and not the file itself: run `git lfs pull`"),
    (0, b"<!", "is a web page: the download went wrong"),
    (0, b"<html", "is a web page: the download went wrong"),
    (0, b"<?xml", "is XML, perhaps of OpenVINO: add the ONNX file that it was converted from"),
    (0, b"\x89HDF", "is an HDF5 file, perhaps of Keras: export the model to ONNX (tf2onnx)"),
    (4, b"TFL3", "is a TensorFlow Lite file: export the model to ONNX (tf2onnx)"),
    (0, b"GGUF", "is a GGUF file, of a language model"),
    (0, b"ftrt", "is a TensorRT engine, which runs on one kind of GPU only: add the ONNX file that it was built from"),
    (0, b"\x1f\x8b", "is compressed by gzip: unpack it first"),
)
"""Place and bytes by which other files are known, and what to say of them."""


def format_of(path: Path) -> FileFormat:
    """Recognises the format of a model file.

    Args:
        path: Of the file.

    Raises:
        UnusableModel: It is not there, cannot be read, is empty, or is of another format; the message says which.
    """
    if path.is_dir():
        raise UnusableModel(str(path), "is a folder; name the file of the model")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise UnusableModel(str(path), (error.strerror or str(error)).lower()) from None
    if not head:
        raise UnusableModel(str(path), "is empty")
    for place, beginning, message in _OTHERS:
        if head[place:].startswith(beginning):
            raise UnusableModel(str(path), message)
    if _is_checkpoint(head):
        return "checkpoint"
    if path.suffix.lower() == ".onnx" or _is_onnx(head):
        return "onnx"
    raise UnusableModel(str(path), "is neither an ONNX file nor a checkpoint (.pth of torch.save, or .safetensors)")


def _is_checkpoint(head: bytes) -> bool:
    is_zip, is_pickle = head.startswith(b"PK\x03\x04"), head[0] == 0x80 and head[1:2] in (b"\2", b"\3", b"\4", b"\5")
    return is_zip or is_pickle or head[_SAFETENSORS_LENGTH:].startswith(b"{")


def _is_onnx(head: bytes) -> bool:
    """Whether it may be a serialised `ModelProto`, which begins with its version: field 1, a small integer."""
    return len(head) > 2 and head[0] == 0x08 and 3 <= head[1] <= 32
