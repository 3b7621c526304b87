"""Decodes the first frame of a WebP: chunks are parsed here, and Pillow gets the pixel chunks (RFC 9649)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage
from models.imaging import pillow
from models.imaging.header import MAX_PARTS, StoredHeader, too_many
from models.imaging.orientation import exif_orientation

_ANIMATION, _ALPHA = 0x02, 0x10
"""Flags of a VP8X chunk."""

_PIXEL_CHUNKS: Final = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_KEPT_CHUNKS: Final = _PIXEL_CHUNKS | {b"ANIM", b"ALPH"}


@dataclass(frozen=True)
class WebpHeader(StoredHeader):
    """The header of a WebP, with what its decoder needs.

    Attributes:
        chunks: The chunks of the first frame: type, and offsets of the begin and end of the body.
    """

    chunks: tuple[tuple[bytes, int, int], ...] = field(default=(), repr=False)


def read_header(data: bytes) -> WebpHeader:
    """Reads the chunks.

    Args:
        data: The WebP.

    Raises:
        BrokenImage: There are no pixels, or a chunk is truncated.
        ImageTooLarge: There are too many chunks.
    """
    chunks: list[tuple[bytes, int, int]] = []
    exif, extended, pixels = None, False, False
    for kind, start, end in _chunks(data):
        if kind == b"VP8X" and not chunks:
            extended = True
            chunks.append((kind, start, end))
        elif kind == b"EXIF" and extended and exif is None:
            exif = data[start:end]
        elif not pixels and kind in _KEPT_CHUNKS:
            chunks.append((kind, start, end))
            pixels = kind in _PIXEL_CHUNKS
        if pixels and not extended:
            break
    if not pixels:
        raise BrokenImage("the WEBP header is truncated or corrupt")
    kind, start, end = chunks[0]
    size = _size(kind, data[start : min(end, start + 16)])
    return WebpHeader(size, exif_orientation(exif or b""), tuple(chunks))


def decode(data: bytes, header: WebpHeader) -> NDArray[np.uint8]:
    """Decodes the first frame to RGB; transparency is composited on white.

    Args:
        data: The WebP.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The frame is truncated or corrupt.
    """
    parts: list[bytes] = []
    for kind, start, end in header.chunks:
        body = data[start:end]
        if kind == b"VP8X":
            flags = body[0] & (_ANIMATION | _ALPHA)
            if flags & _ANIMATION:
                flags |= _ALPHA  # what the frame leaves uncovered is transparent
            body = bytes((flags,)) + body[1:]
        parts.append(kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2))
    content = b"WEBP" + b"".join(parts)
    with pillow.opened(b"RIFF" + struct.pack("<I", len(content)) + content, "webp") as image:
        if (image.height, image.width) != header.stored_size:
            raise BrokenImage("the WEBP is truncated or corrupt")
        return pillow.rgb(image)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields type of every chunk, and offsets of the begin and end of its body."""
    (declared,) = struct.unpack_from("<I", data, 4)
    position, last = 12, min(len(data), 8 + declared)
    for _ in range(MAX_PARTS):
        if position + 8 > last:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        start, end = position + 8, position + 8 + length
        if end > len(data):
            raise BrokenImage("the WEBP is truncated or corrupt")
        yield kind, start, end
        position = end + length % 2
    raise too_many("WEBP chunks", MAX_PARTS)


def _size(kind: bytes, body: bytes) -> tuple[int, int]:
    """Reads (height, width) from the first chunk (RFC 9649, sections 2.5 to 2.7; RFC 6386, section 9.1)."""
    if kind == b"VP8X" and len(body) >= 10:
        return 1 + int.from_bytes(body[7:10], "little"), 1 + int.from_bytes(body[4:7], "little")
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    if kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", body, 6)
        if width & 0x3FFF and height & 0x3FFF:
            return height & 0x3FFF, width & 0x3FFF
    raise BrokenImage("the WEBP header is truncated or corrupt")
