"""Converts the decompressed blocks of a TIFF to samples: undoes predictors, unpacks bits, converts byte order."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.imaging.tiff_blocks import Blocks
from models.imaging.tiff_layout import FLOAT, FLOATING, HORIZONTAL, SIGNED, Layout


def samples_of(blocks: Blocks, band: range, order: str) -> NDArray[Any]:
    """Reads the samples of some rows of blocks.

    Args:
        blocks: The strips or tiles of the TIFF.
        band: The rows of blocks.
        order: Byte order of the TIFF: `<` or `>`.

    Returns:
        (rows, W, samples); uint8, or of as many bits as a sample has, 12 in uint16.
    """
    layout = blocks.layout
    planes = [_plane(blocks.rows(plane, band), layout, order) for plane in range(layout.planes)]
    joined = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)
    return joined[: layout.height - band.start * layout.block_height]


def _plane(rows: NDArray[np.uint8], layout: Layout, order: str) -> NDArray[Any]:
    """(rows, W, samples of the plane), from (rows, blocks across, bytes of a block's row)."""
    count, across, _ = rows.shape
    samples = layout.plane_samples
    if layout.predictor == FLOATING:
        values = _from_byte_planes(rows, layout)
    else:
        values = _unpacked(rows, layout, order)[..., : layout.block_width * samples]
    values = values.reshape(count, across, layout.block_width, samples)
    if layout.predictor == HORIZONTAL:
        values = np.cumsum(values, axis=2, dtype=values.dtype)
    return values.reshape(count, across * layout.block_width, samples)[:, : layout.width]


def _unpacked(rows: NDArray[np.uint8], layout: Layout, order: str) -> NDArray[Any]:
    """(rows, blocks across, samples of a block's row); below 8 bits the first sample is in the highest ones."""
    bits = layout.bits
    if bits < 8:
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        return (rows[..., np.newaxis] >> shifts & 2**bits - 1).reshape(*rows.shape[:2], -1)
    if bits == 12:
        threes = np.pad(rows, ((0, 0), (0, 0), (0, -rows.shape[2] % 3))).reshape(*rows.shape[:2], -1, 3)
        first, middle, last = np.moveaxis(threes.astype(np.uint16), 3, 0)
        return np.stack((first << 4 | middle >> 4, (middle & 15) << 8 | last), axis=3).reshape(*rows.shape[:2], -1)
    kind = {SIGNED: "i", FLOAT: "f"}.get(layout.sample_format, "u")
    stored = np.ascontiguousarray(rows).view(np.dtype(f"{order}{kind}{bits // 8}"))
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _from_byte_planes(rows: NDArray[np.uint8], layout: Layout) -> NDArray[Any]:
    """Undoes the predictor of floats: differences of bytes, the highest bytes of all samples first.

    Adobe Photoshop TIFF Technical Note 3.
    """
    count, across, row_bytes = rows.shape
    samples, item = layout.plane_samples, layout.bits // 8
    summed = np.cumsum(rows.reshape(count, across, row_bytes // samples, samples), axis=2, dtype=np.uint8)
    planes = summed.reshape(count, across, item, -1)
    floats = np.ascontiguousarray(planes.transpose(0, 1, 3, 2)).view(f">f{item}")
    return floats.reshape(count, across, -1).astype(f"=f{item}")
