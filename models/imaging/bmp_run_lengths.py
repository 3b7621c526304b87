"""Run-length decoding of 4- and 8-bit BMPs (Microsoft's "Bitmap Compression")."""

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage
from models.imaging.header import too_many

_MAX_ESCAPES: Final = 2**18
_RUNS: Final = re.compile(rb"(?:[^\0].)+", re.DOTALL)
_END_OF_ROW, _END, _MOVE = 0, 1, 2


def indices_of(codes: bytes, size: tuple[int, int], bits: int) -> NDArray[np.uint8]:
    """Decodes run-length encoded palette indices.

    Consecutive runs are expanded together; escapes, of which an encoder writes one or two per row, one by one. Pixels
    that are skipped have index 0.

    Args:
        codes: The encoded data, from the first code to the end of the file.
        size: (height, width) in pixels.
        bits: 4 or 8.

    Returns:
        (H, W) palette indices, the bottom row first.

    Raises:
        BrokenImage: The data ends too early, or a run passes the edge of the image.
        ImageTooLarge: There are too many escapes.
    """
    height, width = size
    indices = np.zeros(size, np.uint8)
    position = row = column = 0
    for _ in range(_MAX_ESCAPES):
        if runs := _RUNS.match(codes, position, len(codes)):
            position = runs.end()
            column = _write(indices, row, column, _expanded(runs[0], bits, width - column + 1))
        if position + 2 > len(codes):
            if row == height or (row == height - 1 and column == width):  # the end code is missing
                return indices
            break
        escape = codes[position + 1]
        position += 2
        if escape == _END:
            return indices
        if escape == _END_OF_ROW:
            row, column = row + 1, 0
        elif escape == _MOVE:
            if position + 2 > len(codes):
                break
            column, row, position = column + codes[position], row + codes[position + 1], position + 2
        else:
            count = (escape * bits + 7) // 8
            found = _halves(codes[position : position + count], bits)[:escape]
            if len(found) < escape:
                break
            position += count + count % 2
            column = _write(indices, row, column, found)
    else:
        raise too_many("escapes in its run lengths", _MAX_ESCAPES)
    raise BrokenImage("the BMP is truncated or corrupt")


def _write(indices: NDArray[np.uint8], row: int, column: int, found: NDArray[np.uint8]) -> int:
    height, width = indices.shape
    if row >= height or column + len(found) > width:
        if row < height and column + len(found) <= width + 1:  # an odd width of 4 bits, padded to a byte
            found = found[: width - column]
        else:
            raise BrokenImage("the BMP is truncated or corrupt")
    indices[row, column : column + len(found)] = found
    return column + len(found)


def _expanded(runs: bytes, bits: int, room: int) -> NDArray[np.uint8]:
    pairs = np.frombuffer(runs, np.uint8).reshape(-1, 2)
    counts = pairs[:, 0]
    ends = np.cumsum(counts, dtype=np.int64)
    if ends[-1] > room:  # before it takes any memory
        raise BrokenImage("the BMP is truncated or corrupt")
    values = np.repeat(pairs[:, 1], counts)
    if bits == 8:
        return values
    first_is_odd = np.repeat(((ends - counts) & 1).astype(np.uint8), counts)
    odd = np.resize(np.array([0, 1], np.uint8), len(values)) ^ first_is_odd
    return (values >> (4 - 4 * odd) & 15).astype(np.uint8)


def _halves(found: bytes, bits: int) -> NDArray[np.uint8]:
    values = np.frombuffer(found, np.uint8)
    if bits == 8:
        return values
    return np.stack((values >> 4, values & 15), axis=1).astype(np.uint8).reshape(-1)
