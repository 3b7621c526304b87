"""TIFF files with any directory, written by hand."""

import struct
from collections.abc import Mapping

_SHORT, _LONG, _LONG8, _UNDEFINED = 3, 4, 16, 7


def with_directory(
    values: Mapping[int, tuple[int, ...] | bytes],
    blocks: list[bytes],
    *,
    order: str = "<",
    big: bool = False,
    tiled: bool = False,
) -> bytes:
    """Writes blocks, and behind them a directory."""
    mark = b"II" if order == "<" else b"MM"
    content = bytearray(
        mark + struct.pack(f"{order}HHHQ", 43, 8, 0, 0) if big else mark + struct.pack(f"{order}HI", 42, 0)
    )
    places = []
    for block in blocks:
        content += bytes(len(content) % 2)
        places.append(len(content))
        content += block
    all_values = {**values, 324 if tiled else 273: tuple(places), 325 if tiled else 279: tuple(map(len, blocks))}
    room, lines = 8 if big else 4, b""
    for tag, found in sorted(all_values.items()):
        if isinstance(found, bytes):
            kind, packed, count = _UNDEFINED, found, len(found)
        else:
            long = tag in (256, 257, 273, 279, 324, 325)
            kind, letter = (_LONG8, "Q") if long and big else (_LONG, "I") if long else (_SHORT, "H")
            packed, count = struct.pack(f"{order}{len(found)}{letter}", *found), len(found)
        if len(packed) > room:
            content += bytes(len(content) % 2)
            place = struct.pack(f"{order}Q" if big else f"{order}I", len(content))
            content += packed
        else:
            place = packed.ljust(room, b"\0")
        lines += struct.pack(f"{order}HHQ" if big else f"{order}HHI", tag, kind, count) + place
    content += bytes(len(content) % 2)
    struct.pack_into(f"{order}Q" if big else f"{order}I", content, 8 if big else 4, len(content))
    return bytes(content) + struct.pack(f"{order}Q" if big else f"{order}H", len(all_values)) + lines + bytes(8)
