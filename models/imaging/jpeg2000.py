"""Decodes JPEG 2000, as a JP2 file or a bare codestream, with Pillow's OpenJPEG (ISO/IEC 15444-1, annexes A and I).

OpenJPEG allocates every tile, precinct and code block that a header declares before it reads any of them, so their
numbers are limited here.
"""

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import features

from models.errors import BrokenImage, UnreadableImage
from models.imaging import pillow
from models.imaging.header import StoredHeader, too_many
from models.imaging.iso_boxes import boxes

SIGNATURE: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM: Final = b"\xff\x4f\xff\x51"

_MAX_TILES: Final = 4096
_MAX_BLOCKS: Final = 2**20
_MAX_SEGMENTS: Final = 16_384
_COD, _COC, _SOT, _SOD, _EOC = 0x52, 0x53, 0x90, 0x93, 0xD9
_BARE: Final = frozenset({_SOD, _EOC})
_COLOUR_SPACES: Final = frozenset({16, 17})
"""Enumerated: sRGB and grey. Pillow decodes others (sYCC, CMYK, Lab) wrongly or not at all."""

_ICC_METHODS: Final = frozenset({2, 3})
_ICC_SPACES: Final = frozenset({b"GRAY", b"RGB "})
_COLOUR, _ALPHA = 0, 1


def read_header(data: bytes) -> StoredHeader:
    """Reads the size of the image and checks the bounds of the other header fields.

    Args:
        data: The JP2 file or codestream.

    Raises:
        struct.error: The header is truncated.
        BrokenImage: The header is corrupt.
        UnreadableImage: The variant is not supported, such as subsampled components; or Pillow has no decoder.
        ImageTooLarge: It declares too many tiles or code blocks.
    """
    if not features.check("jpg_2000"):
        raise UnreadableImage("JPEG 2000 images cannot be read here: this Pillow was built without OpenJPEG")
    start = _codestream(data) if data.startswith(SIGNATURE) else 0
    if data[start : start + 4] != CODESTREAM:
        raise BrokenImage("the JPEG 2000 header is truncated or corrupt")
    return _read_size(data, start + 4)


def decode(data: bytes, header: StoredHeader) -> NDArray[np.uint8]:
    """Decodes to RGB; transparency is composited on white.

    Args:
        data: The JP2 file or codestream.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The data is truncated or corrupt.
    """
    with pillow.opened(data, "jpeg2000") as image:
        if (image.height, image.width) != header.stored_size:
            raise BrokenImage("the JPEG 2000 is truncated or corrupt")
        return pillow.rgb(image)


def _codestream(data: bytes) -> int:
    """Returns the offset of the codestream in a JP2 file, whose header box must declare grey or RGB."""
    for kind, start, end in boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, body, stop in boxes(data, start, end):
                if inner == b"pclr":
                    raise UnreadableImage("JPEG 2000 images with a palette cannot be read")
                if inner == b"colr":
                    _check_colours(data, body)
                if inner == b"cdef":
                    _check_channels(data[body + 2 : stop])
        elif kind == b"jp2c":
            return start
    raise BrokenImage("the JPEG 2000 header is truncated or corrupt")


def _check_colours(data: bytes, start: int) -> None:
    """Raises unless a colour specification box says grey or RGB, by number or by ICC profile (annex I.5.3.3)."""
    method = data[start]
    (space,) = struct.unpack_from(">I", data, start + 3)
    if method == 1 and space not in _COLOUR_SPACES:
        raise UnreadableImage("JPEG 2000 images that are neither grey nor sRGB cannot be read")
    if method in _ICC_METHODS and data[start + 19 : start + 23] not in _ICC_SPACES:
        raise UnreadableImage("JPEG 2000 images with an ICC profile that is neither grey nor RGB cannot be read")


def _check_channels(definitions: bytes) -> None:
    """Raises unless the channels are grey or RGB, then alpha that is not premultiplied (annex I.5.3.6).

    Pillow ignores channel definitions and assumes this order.
    """
    for channel, kind, colour in struct.iter_unpack(">HHH", definitions):
        is_alpha = kind == _ALPHA and colour == 0 and channel in (1, 3)
        if not is_alpha and (kind, colour) != (_COLOUR, channel + 1):
            raise UnreadableImage("JPEG 2000 images of channels other than grey, RGB and straight alpha cannot be read")


def _read_size(data: bytes, start: int) -> StoredHeader:
    """Reads SIZ (annex A.5.1)."""
    _, right, bottom, left, top, *tile, components = struct.unpack_from(">HIIIIIIIIH", data, start + 2)
    height, width = bottom - top, right - left
    if height <= 0 or width <= 0 or not components >= 1 or not tile[0] or not tile[1]:
        raise BrokenImage("the JPEG 2000 header is truncated or corrupt")
    if components > 4:
        raise UnreadableImage(f"JPEG 2000 images of {components} components cannot be read")
    kinds = [struct.unpack_from(">BBB", data, start + 38 + 3 * index) for index in range(components)]
    if any(kind[1:] != (1, 1) for kind in kinds):
        raise UnreadableImage("JPEG 2000 images with subsampled components cannot be read")
    if any(kind[0] & 0x80 for kind in kinds) or len(set(kinds)) > 1:
        raise UnreadableImage("JPEG 2000 images of signed or unequal samples cannot be read")
    depth = 1 + kinds[0][0]
    if not 8 <= depth <= (16 if components == 1 else 8):  # Pillow lets the brightest of several deep ones overflow to 0
        raise UnreadableImage(f"JPEG 2000 images of {components} components of {depth} bits cannot be read")
    if -(-(right - tile[2]) // tile[0]) * -(-(bottom - tile[3]) // tile[1]) > _MAX_TILES:
        raise too_many("JPEG 2000 tiles", _MAX_TILES)
    (length,) = struct.unpack_from(">H", data, start)
    for marker, body in _segments(data, start + length):
        if marker in (_COD, _COC):
            style, coding = (body, body + 5) if marker == _COD else (body + 1, body + 2)
            _check_blocks(data, style, coding, height * width * components)
    return StoredHeader((height, width))


def _segments(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    """Yields marker and body offset of every segment of the main header and of tile-part headers."""
    part_end = 0
    for _ in range(_MAX_SEGMENTS):
        if position + 4 > len(data) and part_end:
            return  # a codestream may lack its end
        prefix, marker, length = struct.unpack_from(">BBH", data, position)
        if prefix != 0xFF or (marker not in _BARE and length < 2):
            raise BrokenImage("the JPEG 2000 header is truncated or corrupt")
        if marker == _SOT:
            (part_bytes,) = struct.unpack_from(">I", data, position + 6)
            part_end = position + part_bytes if part_bytes else len(data)  # 0: up to the end
        elif marker == _SOD:
            position = part_end
            continue
        elif marker == _EOC:
            return
        yield marker, position + 4
        position += 2 + length
    raise too_many("JPEG 2000 segments", _MAX_SEGMENTS)


def _check_blocks(data: bytes, style: int, coding: int, samples: int) -> None:
    """Checks the number of code blocks and precincts of COD or COC (annex A.6.1).

    Args:
        data: The file.
        style: Offset of the coding style, which says whether precinct sizes follow.
        coding: Offset of the number of resolution levels, followed by sizes as exponents of 2.
        samples: Number of samples of the image.
    """
    levels, block = data[coding], data[coding + 1] + data[coding + 2] + 4
    precincts = data[coding + 5 : coding + 6 + levels] if data[style] & 1 else b""
    smallest = [min(block, (size & 15) + (size >> 4)) for size in precincts] or [block]
    total = sum(samples >> 2 * (len(smallest) - 1 - level) >> area for level, area in enumerate(smallest))
    if total > _MAX_BLOCKS:
        raise too_many("JPEG 2000 code blocks", _MAX_BLOCKS)
