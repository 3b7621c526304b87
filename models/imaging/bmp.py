"""Decodes BMP with NumPy: OS/2 and Windows headers, 1 to 32 bits, any bit masks, run-length encoding.

Sources: Microsoft's reference of BITMAPCOREHEADER, BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER. In 32-bit
files the fourth byte is ignored without bit masks; with masks it is alpha, unless it is zero in all pixels.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage, UnreadableImage
from models.imaging.alpha import on_white
from models.imaging.bmp_run_lengths import indices_of
from models.imaging.header import StoredHeader
from models.imaging.samples import parts

_FILE_HEADER: Final = 14
_CORE, _INFO = 12, 40
_HEADER_BYTES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_OS2: Final = frozenset({16, 64})
_PLAIN, _RLE8, _RLE4, _MASKS, _ALPHA_MASKS = 0, 1, 2, 3, 6
_NAMES: Final = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_DEFAULT_MASKS: Final = {
    16: (0x7C00, 0x03E0, 0x001F, 0),
    24: (0xFF0000, 0x00FF00, 0x0000FF, 0),
    32: (0xFF0000, 0x00FF00, 0x0000FF, 0),
}


@dataclass(frozen=True)
class BmpHeader(StoredHeader):
    """The header of a BMP, with what its decoder needs.

    Attributes:
        bits: Bits per pixel: 1, 2, 4, 8 (with a palette), 16, 24 or 32.
        compression: As in the file; 0 is none.
        top_down: Whether the first row is the top row.
        pixels_start: Offset of the pixels in bytes.
        palette: Offset of the palette, bytes per entry, and number of entries.
        masks: Bit masks of red, green, blue and alpha; 0 where there is none.
    """

    bits: int = 24
    compression: int = _PLAIN
    top_down: bool = False
    pixels_start: int = 0
    palette: tuple[int, int, int] = (0, 0, 0)
    masks: tuple[int, int, int, int] = (0, 0, 0, 0)


def read_header(data: bytes) -> BmpHeader:
    """Reads the two headers.

    Args:
        data: The BMP.

    Raises:
        struct.error: They are truncated.
        BrokenImage: They are corrupt.
        UnreadableImage: The variant is not supported, such as an embedded JPEG.
    """
    pixels_start, header_bytes = struct.unpack_from("<II", data, 10)
    if header_bytes not in _HEADER_BYTES:
        raise UnreadableImage(f"BMPs with a header of {header_bytes} bytes cannot be read")
    compression = used = 0
    if header_bytes == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", data, 18)
        if header_bytes >= _INFO:
            compression, _, _, _, used = struct.unpack_from("<IIiiI", data, 30)
    if width <= 0 or height == 0:
        raise BrokenImage("the BMP header is truncated or corrupt")
    _check_kind(bits, compression, header_bytes, top_down=height < 0)
    masks, masks_bytes = _masks(data, header_bytes, bits, compression)
    start = _FILE_HEADER + header_bytes + masks_bytes
    entry = 3 if header_bytes == _CORE else 4
    count = 0 if bits > 8 else min(used or 2**bits, 2**bits)
    if bits <= 8 and start < pixels_start:  # an OS/2 palette may be shorter than its bits allow
        count = min(count, (pixels_start - start) // entry)
    pixels_start = pixels_start or start + entry * count
    palette = (start, entry, count)
    return BmpHeader((abs(height), width), 1, bits, compression, height < 0, pixels_start, palette, masks)


def decode(data: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    """Decodes to RGB; transparency is composited on white.

    Args:
        data: The BMP.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous, the top row first.

    Raises:
        BrokenImage: The data is truncated or corrupt.
    """
    if header.compression in (_RLE8, _RLE4):
        indices = indices_of(data[header.pixels_start :], header.stored_size, header.bits)
        pixels = _palette(data, header)[indices]
    elif header.bits <= 8:
        pixels = _palette(data, header)[_unpacked(_rows(data, header), header)]
    else:
        pixels = _masked(_rows(data, header), header)
    return np.ascontiguousarray(pixels if header.top_down else pixels[::-1])


def _check_kind(bits: int, compression: int, header_bytes: int, *, top_down: bool) -> None:
    known = {_PLAIN: (1, 2, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _MASKS: (16, 32), _ALPHA_MASKS: (16, 32)}
    if header_bytes in _OS2 and compression in (_MASKS, 4):
        raise UnreadableImage("BMPs of OS/2 with Huffman codes or run lengths of 24 bits cannot be read")
    if compression in _NAMES:
        raise UnreadableImage(f"BMPs that hold {_NAMES[compression]} cannot be read")
    if bits == 0 or compression not in known:
        raise BrokenImage("the BMP header is truncated or corrupt")
    if bits not in known[compression] or (top_down and compression in (_RLE8, _RLE4)):
        raise UnreadableImage(f"BMPs of {bits} bits and compression {compression} cannot be read")


def _masks(data: bytes, header_bytes: int, bits: int, compression: int) -> tuple[tuple[int, int, int, int], int]:
    """Returns the masks, and their size in bytes where they follow the header instead of being part of it."""
    if compression not in (_MASKS, _ALPHA_MASKS):
        return _DEFAULT_MASKS.get(bits, (0, 0, 0, 0)), 0
    count = 4 if header_bytes >= 56 or compression == _ALPHA_MASKS else 3
    masks = struct.unpack_from(f"<{count}I", data, _FILE_HEADER + _INFO)
    if any(mask & (mask + (mask & -mask)) for mask in masks):
        raise UnreadableImage("BMPs with bit masks that are not contiguous cannot be read")
    alpha = masks[3] if count == 4 else 0
    return (masks[0], masks[1], masks[2], alpha), 4 * count if header_bytes == _INFO else 0


def _palette(data: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    """Returns (256, 3) RGB, padded with black."""
    start, entry, count = header.palette
    found = np.frombuffer(data[start : start + entry * count], np.uint8)
    colours = np.zeros((256, 3), np.uint8)
    colours[: found.size // entry] = found[: found.size // entry * entry].reshape(-1, entry)[:, 2::-1]
    return colours


def _rows(data: bytes, header: BmpHeader) -> NDArray[np.uint8]:
    """Returns (H, row bytes) uint8 as stored; rows are padded to four bytes."""
    height, width = header.stored_size
    row_bytes = (width * header.bits + 31) // 32 * 4
    used = (width * header.bits + 7) // 8
    if len(data) < header.pixels_start + (height - 1) * row_bytes + used:
        raise BrokenImage("the BMP is truncated or corrupt")
    if len(data) < header.pixels_start + height * row_bytes:  # the padding of the last row is missing
        data += bytes(4)
    return np.frombuffer(data, np.uint8, height * row_bytes, header.pixels_start).reshape(height, row_bytes)


def _unpacked(rows: NDArray[np.uint8], header: BmpHeader) -> NDArray[np.uint8]:
    """Returns (H, W) palette indices."""
    height, width = header.stored_size
    shifts = np.arange(8 - header.bits, -1, -header.bits, dtype=np.uint8)
    return (rows[:, :, np.newaxis] >> shifts & 2**header.bits - 1).reshape(height, -1)[:, :width]


def _masked(rows: NDArray[np.uint8], header: BmpHeader) -> NDArray[np.uint8]:
    """Returns (H, W, 3) RGB of 16-, 24- and 32-bit pixels."""
    height, width = header.stored_size
    pixels = np.empty((height, width, 3), np.uint8)
    if header.bits == 24:
        for channel in range(3):
            pixels[..., channel] = rows[:, 2 - channel : 3 * width : 3]
        return pixels
    kind = np.dtype("<u2" if header.bits == 16 else "<u4")
    alpha = np.empty((height, width), np.uint8) if header.masks[3] else None
    for part in parts(rows):
        values = rows[part].view(kind)[:, :width]
        for channel in range(3):
            pixels[part, :, channel] = _channel(values, header.masks[channel])
        if alpha is not None:
            alpha[part] = _channel(values, header.masks[3])
    return pixels if alpha is None or not alpha.any() else on_white(pixels, alpha)


def _channel(values: NDArray[np.unsignedinteger], mask: int) -> NDArray[np.uint8]:
    """Extracts the bits of a mask, scaled to 8 bits."""
    if mask == 0:
        return np.zeros(values.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    greatest = mask >> shift
    if greatest == 255:
        return (values >> shift).astype(np.uint8)
    return np.rint((values & mask).astype(np.float64) / mask * 255).astype(np.uint8)
