"""Checks that a file is a whole ONNX model with its weights in it, before a library reads it.

It reads the fields of the Protocol Buffers encoding (https://protobuf.dev/programming-guides/encoding) that lead to
tensors, by their numbers in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, and skips their data.
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

_Message = Literal["model", "graph", "function", "node", "attribute", "sparse tensor", "tensor"]
_CHILDREN: Final[Mapping[_Message, Mapping[int, _Message]]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_IR_VERSION: Final = 1
_EXTERNAL_DATA: Final = 13
"""Of a tensor: pairs of a key and a value; the value of `location` is the name of a file."""
_FIXED_BYTES: Final = {1: 8, 5: 4}
"""By wire type."""
_NO_ONNX: Final = "is no ONNX file, or a damaged one"


def check_onnx(path: Path) -> None:
    """Raises unless a file is a whole ONNX model with its weights in it.

    Args:
        path: Of the file.

    Raises:
        ValueError: It is not; the message follows the name of the file.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ValueError(_NO_ONNX)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            locations = _locations(content)
    if locations:
        raise ValueError(
            f"keeps weights in other files ({', '.join(sorted(locations)[:3])}); "
            "`tapetum models add` makes one file of them"
        )


def _locations(content: mmap.mmap) -> set[str]:
    """The names of the files that tensors are in."""
    found: set[str] = set()
    seen: set[int] = set()
    unread: list[tuple[_Message, int, int]] = [("model", 0, len(content))]
    while unread:
        message, start, end = unread.pop()
        for number, first, last in _fields(content, start, end):
            if message == "model":
                seen.add(number)
            if child := _CHILDREN[message].get(number):
                unread.append((child, first, last))
            elif message == "tensor" and number == _EXTERNAL_DATA:
                found |= _location(content, first, last)
    if not {_IR_VERSION, 7} <= seen:
        raise ValueError(_NO_ONNX)
    return found


def _location(content: mmap.mmap, start: int, end: int) -> set[str]:
    pair = {number: content[first:last] for number, first, last in _fields(content, start, end)}
    return {pair.get(2, b"").decode(errors="replace")} if pair.get(1) == b"location" else set()


def _fields(content: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message: number, and where the value starts and ends."""
    while start < end:
        key, start = _varint(content, start, end)
        number, wire_type = key >> 3, key & 7
        first, last = start, start
        if wire_type == 0:
            _, last = _varint(content, start, end)
        elif wire_type == 2:
            length, first = _varint(content, start, end)
            last = first + length
        elif wire_type in _FIXED_BYTES:
            last = start + _FIXED_BYTES[wire_type]
        else:
            raise ValueError(_NO_ONNX)
        if number == 0 or last > end:
            raise ValueError(_NO_ONNX)
        yield number, first, last
        start = last


def _varint(content: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    """An integer of seven bits a byte, the lowest first; and where it ends."""
    value = 0
    for place in range(start, min(end, start + 10)):
        byte = content[place]
        value |= (byte & 0x7F) << 7 * (place - start)
        if byte < 0x80:
            return value, place + 1
    raise ValueError(_NO_ONNX)
