"""EXIF orientation: reading the tag from an EXIF block, and turning pixels upright.

The eight values are those of the tag 0x0112 in EXIF 2.32, section 4.6.4.
"""

import struct

import numpy as np
from numpy.typing import NDArray

UPRIGHT = 1
_ORIENTATION_TAG = 0x0112
_SWAPS_AXES = frozenset({5, 6, 7, 8})
_MAX_ENTRIES = 4096


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


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Computes the size of the upright image.

    Args:
        size: (height, width) as stored.
        orientation: 1 to 8.

    Returns:
        (height, width) of the upright image.
    """
    return (size[1], size[0]) if orientation in _SWAPS_AXES else size


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Applies an EXIF orientation to pixels.

    Args:
        pixels: (H, W, C) as stored.
        orientation: 1 to 8, as in EXIF.

    Returns:
        (H, W, C) or (W, H, C), C-contiguous; `pixels` itself for orientation 1.
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
    for entry in range(directory + 2, directory + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if tag == _ORIENTATION_TAG:
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
