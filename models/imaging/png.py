"""Decodes PNG: chunks are parsed here, and Pillow gets only pixel chunks (PNG specification, third edition).

Profiles and texts are never decompressed. The transparent colour (tRNS of grey and RGB) is applied here, since Pillow
does not match it exactly for depths other than 8 bits.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage, UnreadableImage
from models.imaging import pillow
from models.imaging.header import MAX_PARTS, StoredHeader, too_many
from models.imaging.orientation import exif_orientation

_PALETTE: Final = 3
SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_DEPTHS: Final = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PIXEL_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})


@dataclass(frozen=True)
class PngHeader(StoredHeader):
    """The header of a PNG, with what its decoder needs.

    Attributes:
        depth: Bits per sample: 1, 2, 4, 8 or 16.
        colour_type: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        chunks: The pixel chunks: type, and offsets of the begin and end of the body.
    """

    depth: int = 8
    colour_type: int = 2
    chunks: tuple[tuple[bytes, int, int], ...] = field(default=(), repr=False)


def read_header(data: bytes) -> PngHeader:
    """Reads the chunks.

    Args:
        data: The PNG.

    Raises:
        BrokenImage: The header is corrupt, or a chunk of pixels is truncated.
        UnreadableImage: It is in Apple's CgBI variant.
        ImageTooLarge: There are too many chunks.
    """
    chunks: list[tuple[bytes, int, int]] = []
    exif, before = None, b""
    for kind, start, end in _chunks(data):
        if not chunks and kind != b"IHDR":
            if kind == b"CgBI":
                raise UnreadableImage("PNGs in Apple's CgBI variant cannot be read")
            raise BrokenImage("the PNG header is truncated or corrupt")
        if kind == b"eXIf" and exif is None:
            exif = data[start:end]
        pixels_begun = bool(chunks) and chunks[-1][0] == b"IDAT"
        if (kind == b"IDAT" and before == kind) or (kind in _PIXEL_CHUNKS and not pixels_begun):
            chunks.append((kind, start, end))
        before = kind
    if not chunks:
        raise BrokenImage("the PNG header is truncated or corrupt")
    return _header(data[chunks[0][1] : chunks[0][2]], exif_orientation(exif or b""), tuple(chunks))


def decode(data: bytes, header: PngHeader) -> NDArray[np.uint8]:
    """Decodes to RGB, without orientation; transparency is composited on white.

    Args:
        data: The PNG.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The data is truncated or corrupt.
    """
    key = _transparent_colour(data, header)
    plain = _plain(data, header, with_alpha=header.colour_type == _PALETTE)
    with pillow.opened(plain, "png") as image:
        pixels = pillow.rgb(image)
        if key is None:
            return pixels
    pixels[_samples_equal(plain, header, pixels, key)] = 255
    return pixels


def without_metadata(data: bytes) -> bytes:
    """Removes all chunks but those of samples and palette, for Pillow to open.

    Args:
        data: The PNG.

    Raises:
        ImageError: As `read_header`.
    """
    return _plain(data, read_header(data), with_alpha=False)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yields type, start and end of every body up to IEND or the end of the file."""
    position = len(SIGNATURE)
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        start, end = position + 8, position + 8 + length
        if kind == b"IEND":
            return
        if end > len(data):
            raise BrokenImage("the PNG is truncated or corrupt")
        yield kind, start, end
        position = end + 4
    raise too_many("PNG chunks", MAX_PARTS)


def _header(body: bytes, orientation: int, chunks: tuple[tuple[bytes, int, int], ...]) -> PngHeader:
    if len(body) != 13:
        raise BrokenImage("the PNG header is truncated or corrupt")
    width, height, depth, colour_type, compression, row_filter, interlace = struct.unpack(">IIBBBBB", body)
    known = depth in _DEPTHS.get(colour_type, ()) and compression == row_filter == 0 and interlace in (0, 1)
    if not known or not 0 < width < 2**31 or not 0 < height < 2**31:
        raise BrokenImage("the PNG header is truncated or corrupt")
    return PngHeader((height, width), orientation, depth, colour_type, chunks)


def _plain(data: bytes, header: PngHeader, *, with_alpha: bool) -> bytes:
    """Removes all chunks but those of pixels, and joins the IDAT chunks."""
    parts = [SIGNATURE]
    for kind, start, end in header.chunks:
        if kind == b"IDAT" or (kind == b"tRNS" and not with_alpha):
            continue
        if zlib.crc32(kind + data[start:end]).to_bytes(4, "big") != data[end : end + 4]:
            raise BrokenImage("the PNG is truncated or corrupt")
        parts.append(data[start - 8 : end + 4])
    view = memoryview(data)
    pixels = b"".join(view[start:end] for kind, start, end in header.chunks if kind == b"IDAT")
    return b"".join((*parts, _chunk(b"IDAT", pixels), _chunk(b"IEND", b"")))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")


def _transparent_colour(data: bytes, header: PngHeader) -> NDArray[np.uint16] | None:
    """Returns the transparent colour of a grey or RGB image, one value per sample."""
    body = next((data[start:end] for kind, start, end in header.chunks if kind == b"tRNS"), None)
    if body is None or header.colour_type not in (0, 2):
        return None
    channels = 1 if header.colour_type == 0 else 3
    if len(body) < 2 * channels:
        raise BrokenImage("the PNG is truncated or corrupt")
    return np.frombuffer(body, ">u2", channels).astype(np.uint16) & (2**header.depth - 1)


def _samples_equal(
    plain: bytes, header: PngHeader, pixels: NDArray[np.uint8], key: NDArray[np.uint16]
) -> NDArray[np.bool_]:
    """Compares pixels with the transparent colour at full depth.

    Returns:
        (H, W).
    """
    if header.depth <= 8:
        scaled = (key.astype(np.uint32) * 255 // (2**header.depth - 1)).astype(np.uint8)
        return (pixels == scaled).all(axis=2)
    high, low = (key >> 8).astype(np.uint8), (key & 0xFF).astype(np.uint8)
    if header.colour_type == 0:
        with pillow.opened(plain, "png") as image:
            return np.asarray(image).astype(np.uint16) == key[0]
    with pillow.opened(plain, "png") as image:  # Pillow keeps 8 bits; read as little-endian, they are the lower ones
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        lower = pillow.rgb(image)
    return (pixels == high).all(axis=2) & (lower == low).all(axis=2)
