"""EXIF orientation: reading the tag from a header, and turning pixels upright.

The eight values are those of the tag 0x0112 in EXIF 2.32, section 4.6.4.
"""

import struct

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_SWAPS_AXES = frozenset({5, 6, 7, 8})


def exif_orientation(exif: bytes) -> int:
    """Reads the orientation from an EXIF block.

    Args:
        exif: A TIFF structure, with or without the leading ``Exif\\0\\0``.

    Returns:
        1 to 8; 1 (upright) where the tag is absent, out of range, or the block is broken: viewers do the same.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return UPRIGHT
    try:
        return _first_directory_orientation(tiff, order)
    except struct.error:
        return UPRIGHT


def jpeg_orientation(data: bytes) -> int:
    """Reads the EXIF orientation from the segments before a JPEG's first scan.

    Args:
        data: The whole JPEG, or at least everything before its first scan.

    Returns:
        1 to 8; 1 where there is none.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in (0xDA, 0xD9):  # start of scan, end of image
            return UPRIGHT
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            return exif_orientation(data[position + 10 : position + 2 + length])
        position += 2 + length
    return UPRIGHT


def png_orientation(data: bytes) -> int:
    """Reads the EXIF orientation from a PNG's eXIf chunk, which may stand before or after the pixels.

    Args:
        data: The whole PNG.

    Returns:
        1 to 8; 1 where there is none.
    """
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"eXIf":
            return exif_orientation(data[position + 8 : position + 8 + length])
        position += 12 + length
    return UPRIGHT


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Tells the size that `turn_upright` gives.

    Args:
        size: (height, width) as stored.
        orientation: 1 to 8.

    Returns:
        (height, width) of the upright image.
    """
    return (size[1], size[0]) if orientation in _SWAPS_AXES else size


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turns stored pixels the way the photographer saw them.

    Args:
        pixels: (H, W, C) as stored.
        orientation: 1 to 8: where the stored first row and column lie in the upright image.

    Returns:
        (H, W, C) or (W, H, C), C-contiguous; `pixels` itself where nothing is to be done.
    """
    if orientation in _SWAPS_AXES:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _first_directory_orientation(tiff: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if tag == _ORIENTATION_TAG:
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
