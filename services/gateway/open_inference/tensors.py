"""Tensors of the Open Inference Protocol: datatypes, and their binary and JSON forms.

Sources: https://github.com/kserve/open-inference-protocol, and Triton's binary tensor data extension: elements in
row-major order, little-endian; an element of BYTES is a length of four bytes and so many bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from services.errors import InvalidParameters

ELEMENT_BYTES: Final = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
}
"""Bytes of an element, by datatype; those of BYTES differ."""

BYTES: Final = "BYTES"
DATATYPES: Final = (*ELEMENT_BYTES, BYTES)
MAX_RANK: Final = 8
_LENGTH: Final = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class InputTensor:
    """An input of a request, not yet decoded.

    Attributes:
        name: Of the input.
        datatype: One of `DATATYPES`.
        shape: At most `MAX_RANK` numbers, none negative.
        raw: Its elements in binary; None where they are in `values`.
        values: Its elements as numbers or, of BYTES, as text or bytes, flat or nested.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes | memoryview[int] | None
    values: Sequence[Any] | None

    @property
    def count(self) -> int:
        """Number of elements that the shape says."""
        return math.prod(self.shape)

    def expect(self, datatype: str, dims: tuple[int, ...]) -> None:
        """Check datatype and shape.

        Args:
            datatype: The only one that is accepted.
            dims: The shape; -1 for any positive size.

        Raises:
            InvalidParameters: they are others, or the tensor has no elements.
        """
        if self.datatype != datatype:
            raise InvalidParameters(f"input {self.name!r} must be {datatype}, not {self.datatype}")
        if len(self.shape) == len(dims) and not self.count:
            raise InvalidParameters(f"input {self.name!r} has no elements: its shape is {list(self.shape)}")
        fits = len(self.shape) == len(dims) and all(
            size == dim if dim >= 0 else size > 0 for size, dim in zip(self.shape, dims, strict=True)
        )
        if not fits:
            raise InvalidParameters(f"input {self.name!r} must have the shape {list(dims)}, not {list(self.shape)}")

    def array(self, dtype: type[np.generic]) -> NDArray[Any]:
        """The elements as an array of the tensor's shape.

        Raises:
            InvalidParameters: there are more or fewer than the shape says, or they are no such numbers.
        """
        if self.raw is not None:
            size = self.count * ELEMENT_BYTES[self.datatype]
            if len(self.raw) != size:
                raise self._other_size(f"{len(self.raw)} bytes", f"{size}")
            return np.frombuffer(self.raw, dtype).reshape(self.shape)
        try:
            wide = np.asarray(self.values)
            with np.errstate(invalid="ignore"):  # of numbers beyond the datatype, which differ below
                elements = wide.astype(dtype)
        except (ValueError, TypeError, OverflowError):
            raise InvalidParameters(f"input {self.name!r} has elements that are not {self.datatype}") from None
        if elements.size != self.count:
            raise self._other_size(f"{elements.size} elements", f"{self.count}")
        if wide.dtype.kind not in "iufb" or not np.array_equal(wide, elements):
            raise InvalidParameters(f"input {self.name!r} has elements that are not {self.datatype}")
        return elements.reshape(self.shape)

    def byte_strings(self) -> list[bytes | str]:
        """The elements of BYTES: bytes, or text where they came as JSON.

        Raises:
            InvalidParameters: there are more or fewer than the shape says, or they are no strings.
        """
        found = self._split() if self.raw is not None else _flat(self.values or ())
        if len(found) != self.count:
            raise self._other_size(f"{len(found)} elements", f"{self.count}")
        if not all(isinstance(element, (bytes, str)) for element in found):
            raise InvalidParameters(f"input {self.name!r} has elements that are not strings")
        return found

    def _split(self) -> list[Any]:
        raw = self.raw or b""
        found: list[bytes] = []
        position = 0
        while position < len(raw) and len(found) <= self.count:
            start = position + _LENGTH.size
            if start > len(raw):
                raise self._cut()
            position = start + _LENGTH.unpack_from(raw, position)[0]
            if position > len(raw):
                raise self._cut()
            found.append(bytes(raw[start:position]))
        return found

    def _cut(self) -> InvalidParameters:
        return InvalidParameters(
            f"input {self.name!r} ends within an element: each is its length in 4 bytes and itself"
        )

    def _other_size(self, found: str, expected: str) -> InvalidParameters:
        return InvalidParameters(
            f"input {self.name!r} has {found}; the shape {list(self.shape)} of {self.datatype} has {expected}"
        )


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """An output of a response.

    Attributes:
        name: Of the output.
        datatype: One of `DATATYPES`.
        shape: Of the tensor; an element may be missing in none of its dimensions.
        data: Array of that shape; of BYTES a flat list.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | list[bytes]

    @classmethod
    def of_array(cls, name: str, datatype: str, data: NDArray[Any]) -> OutputTensor:
        """A tensor of numbers."""
        return cls(name, datatype, data.shape, data)

    @classmethod
    def of_strings(cls, name: str, data: list[bytes], shape: tuple[int, ...] | None = None) -> OutputTensor:
        """A tensor of BYTES; of one dimension, unless a shape is given."""
        return cls(name, BYTES, (len(data),) if shape is None else shape, data)

    @property
    def size(self) -> int:
        """Bytes of the elements."""
        return sum(map(len, self.data)) if isinstance(self.data, list) else self.data.nbytes

    def to_bytes(self) -> bytes:
        """The binary form."""
        if isinstance(self.data, list):
            return b"".join(part for element in self.data for part in (_LENGTH.pack(len(element)), element))
        return np.ascontiguousarray(self.data).astype(self.data.dtype.newbyteorder("<"), copy=False).tobytes()

    def to_values(self) -> list[str] | NDArray[Any]:
        """The elements for JSON, flat: text, or numbers in an array."""
        if isinstance(self.data, list):
            return [element.decode("utf-8", "replace") for element in self.data]
        return np.ascontiguousarray(self.data).reshape(-1)


def _flat(values: Sequence[Any]) -> list[Any]:
    """Flattens nested lists, at most `MAX_RANK` deep."""
    found = list(values)
    for _ in range(MAX_RANK):
        if not any(isinstance(value, list) for value in found):
            break
        found = list(chain.from_iterable(_as_list(value) for value in found))
    return found


def _as_list(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else [value]
