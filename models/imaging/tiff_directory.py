"""The first directory of a TIFF: its tags and their values, read within bounds (TIFF 6.0, section 2; BigTIFF)."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.errors import BrokenImage
from models.imaging.header import too_many

SIGNATURES: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAX_ENTRIES: Final = 4096
_MAX_VALUES: Final = 2**18
"""Of a tag that is read: the most are places of strips, three planes of 65,535 rows each, and colours of a palette."""

_TYPES: Final[Mapping[int, str]] = {
    1: "u1",
    7: "u1",
    3: "u2",
    4: "u4",
    6: "i1",
    8: "i2",
    9: "i4",
    13: "u4",
    16: "u8",
    17: "i8",
}
"""Integer types by their numbers; 7 is "undefined"."""


@dataclass(frozen=True)
class Directory:
    """The tags of a TIFF directory.

    Attributes:
        data: The TIFF.
        order: Its byte order: `<` or `>`.
        entries: Type, number of values and offset of the values, by tag.
    """

    data: bytes
    order: str
    entries: Mapping[int, tuple[int, int, int]]

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """Reads the values of a tag.

        Args:
            tag: Its number.
            default: The result where the tag is absent.

        Raises:
            BrokenImage: They are not integers, or lie outside the file.
            ImageTooLarge: There are too many.
        """
        if tag not in self.entries:
            return default
        kind, count, place = self.entries[tag]
        if count > _MAX_VALUES:
            raise too_many("values of a TIFF tag", _MAX_VALUES)
        if kind not in _TYPES:
            raise BrokenImage("the TIFF header is truncated or corrupt")
        dtype = np.dtype(self.order + _TYPES[kind])
        if place + count * dtype.itemsize > len(self.data):
            raise BrokenImage("the TIFF header is truncated or corrupt")
        found: list[int] = np.frombuffer(self.data, dtype, count, place).tolist()
        return tuple(found) or default

    def value(self, tag: int, default: int) -> int:
        """Reads the first value of a tag."""
        return self.values(tag, (default,))[0]

    def content(self, tag: int) -> bytes:
        """Reads the values of a tag as bytes; empty where the tag is absent."""
        if tag not in self.entries:
            return b""
        _, count, place = self.entries[tag]
        return self.data[place : place + min(count, _MAX_VALUES)]


def read_directory(data: bytes) -> Directory:
    """Reads the entries of the first directory, without their values.

    Args:
        data: The TIFF.

    Raises:
        struct.error: It is truncated.
        OverflowError: Its offset is too large for an index.
        ImageTooLarge: It has too many entries.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    return Directory(data, order, _entries(data, order, big=big))


def _entries(data: bytes, order: str, *, big: bool) -> dict[int, tuple[int, int, int]]:
    """Reads entries of 12 bytes, or of 20 in a BigTIFF. Values that fit stand in the entry itself."""
    (start,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, start)
    if count > _MAX_ENTRIES:
        raise too_many("TIFF tags", _MAX_ENTRIES)
    entry = struct.Struct(f"{order}HHQQ" if big else f"{order}HHII")
    room, first = (8, start + 8) if big else (4, start + 2)
    found: dict[int, tuple[int, int, int]] = {}
    for position in range(first, first + count * entry.size, entry.size):
        tag, kind, values, place = entry.unpack_from(data, position)
        item_bytes = int(_TYPES[kind][1]) if kind in _TYPES else 1 if kind in (2, 7) else 8
        if values * item_bytes <= room:
            place = position + entry.size - room
        found.setdefault(tag, (kind, values, place))
    return found
