"""From the small mask of a box to run lengths in a photo, without the pixels in between.

Every column of an enlarged mask is a line from the middle of one cell to the middle of the next: where it passes one
half is computed, not looked for, so that a mask costs by its width alone, and nothing is as large as the photo or the
box. Needs numpy only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.geometry.masks import Mask

_PADDING: Final = 1
"""Cells of 0 around a mask, without which an object that fills its box would have hard edges there."""
_PROBABLE: Final = 0.5


def paste(cells: NDArray[np.float32], box: NDArray[np.float32], image_size: tuple[int, int]) -> Mask:
    """Enlarges a mask to its box, bilinearly, and keeps the pixels that are more probably the object's than not.

    These are the pixels that `paste_masks_in_image` of torchvision (torchvision/models/detection/roi_heads.py) gives
    more than one half.

    Args:
        cells: (S, S) in [0, 1].
        box: (4,) x_min, y_min, x_max, y_max in pixels of the image, within it.
        image_size: (height, width) of the image in pixels.

    Returns:
        The mask in the image; empty where no pixel is probable.
    """
    left, top, right, bottom = _widened(box, len(cells))
    padded = np.pad(cells, _PADDING).astype(np.float64)
    height, width = image_size
    shown = np.arange(max(0, left), min(width, right))
    columns = _interpolated(padded, _places(shown - left, right - left, len(padded)))
    inside = columns > _PROBABLE
    which, above = np.nonzero(inside[:, 1:] != inside[:, :-1])
    before, after = columns[which, above], columns[which, above + 1]
    crossed = above + (_PROBABLE - before) / (after - before)
    rows = np.floor(_pixels(crossed, bottom - top, len(padded))).astype(np.int64) + 1 + top
    return Mask.from_turns(shown[which] * height + rows.clip(0, height), image_size)


def _widened(box: NDArray[np.float32], side: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of a box with room for the padding around its cells, the latter two excluded.

    In float32 and rounded towards zero, as torchvision does.
    """
    centre, half = (box[:2] + box[2:]) * np.float32(0.5), (box[2:] - box[:2]) * np.float32(0.5)
    half = half * np.float32((side + 2 * _PADDING) / side)
    left, top = (centre - half).astype(np.int64).tolist()
    right, bottom = (centre + half).astype(np.int64).tolist()
    return left, top, right + 1, bottom + 1


def _places(pixels: NDArray[np.int64], length: int, count: int) -> NDArray[np.float64]:
    """Where pixels of a side of so many pixels lie among the middles of so many cells, counted from the first one's."""
    return ((pixels + 0.5) * (count / length) - 0.5).clip(0, count - 1)


def _pixels(places: NDArray[np.float64], length: int, count: int) -> NDArray[np.float64]:
    """The inverse of `_places`, but for its ends."""
    return (places + 0.5) * (length / count) - 0.5


def _interpolated(cells: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """(P, P) cells and C places in a row of them to (C, P): the column at each place, at the middles of the cells."""
    before = np.minimum(places.astype(np.int64), len(cells) - 2)
    share = (places - before)[:, None]
    return cells.T[before] * (1 - share) + cells.T[before + 1] * share
