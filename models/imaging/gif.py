"""Decodes the first frame of a GIF: blocks are parsed here, and Pillow gets that frame alone (GIF89a specification).

Where the frame does not cover the canvas, the canvas is transparent, and so white.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage
from models.imaging import pillow
from models.imaging.header import MAX_PARTS, StoredHeader, too_many

_EXTENSION, _IMAGE = 0x21, 0x2C
_GRAPHIC_CONTROL: Final = 0xF9


@dataclass(frozen=True)
class GifHeader(StoredHeader):
    """The header of a GIF, and the place of its first frame.

    Attributes:
        frame: Its top, left, height and width in pixels.
        palette_end: Offset of the end of the global palette.
        control: Graphic control extension of the frame, which may set a transparent colour; empty if absent.
        frame_start: Offset of the image descriptor.
    """

    frame: tuple[int, int, int, int] = (0, 0, 0, 0)
    palette_end: int = 13
    control: bytes = b""
    frame_start: int = 0


def read_header(data: bytes) -> GifHeader:
    """Reads the blocks up to the first frame.

    Args:
        data: The GIF.

    Raises:
        BrokenImage: There is no frame.
        ImageTooLarge: There are too many blocks before it.
    """
    if len(data) < 13:
        raise BrokenImage("the GIF header is truncated or corrupt")
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    palette_end = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    frame_start, control = _first_frame(data, palette_end)
    left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, frame_start + 1)
    size = max(height, top + frame_height), max(width, left + frame_width)
    if frame_height == 0 or frame_width == 0:
        raise BrokenImage("the GIF header is truncated or corrupt")
    frame = (top, left, frame_height, frame_width)
    return GifHeader(size, frame=frame, palette_end=palette_end, control=control, frame_start=frame_start)


def decode(data: bytes, header: GifHeader) -> NDArray[np.uint8]:
    """Decodes the first frame to RGB; transparency is composited on white.

    Args:
        data: The GIF.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The frame is truncated or corrupt.
    """
    top, left, height, width = header.frame
    with pillow.opened(_frame_alone(data, header), "gif") as image:
        frame = pillow.rgb(image)
    if frame.shape[:2] == header.stored_size:
        return frame
    pixels = np.full((*header.stored_size, 3), 255, np.uint8)
    pixels[top : top + height, left : left + width] = frame
    return pixels


def _first_frame(data: bytes, position: int) -> tuple[int, bytes]:
    """Finds the first image descriptor, and the last graphic control extension before it."""
    control = b""
    parts = 0
    while position + 10 <= len(data):
        if data[position] == _IMAGE:
            return position, control
        if data[position] != _EXTENSION:
            if data[position] == 0x3B:
                break
            position += 1  # padding, which Pillow and browsers step over
            parts += 1
        else:
            start, position = position, position + 2
            while position < len(data) and (length := data[position]):
                position += 1 + length
                parts += 1
                if parts > MAX_PARTS:
                    break
            position += 1
            parts += 1
            if data[start + 1] == _GRAPHIC_CONTROL:
                control = data[start:position]
        if parts > MAX_PARTS:
            raise too_many("GIF blocks before its first frame", MAX_PARTS)
    raise BrokenImage("the GIF header is truncated or corrupt")


def _frame_alone(data: bytes, header: GifHeader) -> bytes:
    """Writes a GIF whose canvas is its first frame. The frames behind it stay: Pillow does not read on."""
    _, _, height, width = header.frame
    screen = data[:6] + struct.pack("<HH", width, height) + data[10 : header.palette_end]
    descriptor = struct.pack("<BHHHH", _IMAGE, 0, 0, width, height)
    return b"".join((screen, header.control, descriptor, memoryview(data)[header.frame_start + 9 :]))
