"""Pastes the S × S mask of a box into the image, directly as run lengths (`paste_masks_in_image` of torchvision).

Every column of a bilinearly resized mask is piecewise linear between the centres of cells: the rows where it crosses
one half are computed, so that a mask takes time and memory in proportion to its width, not to the area of the image or
the box. Needs numpy only.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.geometry.masks import Mask

_PADDING: Final = 1
"""Cells of 0 around a mask, as in torchvision: without them an object that fills its box would have hard edges."""
_PROBABLE: Final = 0.5


def paste(cells: NDArray[np.float32], box: NDArray[np.float32], image_size: tuple[int, int]) -> Mask:
    """Resizes a mask to its box bilinearly and thresholds it at one half.

    The result equals that of `paste_masks_in_image` of torchvision (torchvision/models/detection/roi_heads.py) above
    one half.

    Args:
        cells: (S, S) in [0, 1].
        box: (4,) x_min, y_min, x_max, y_max in pixels of the image, within it.
        image_size: (height, width) of the image in pixels.

    Returns:
        The mask in the image; empty where no pixel is above one half.
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
    """Left, top, right and bottom of a box expanded by the padding of its cells, the latter two exclusive.

    In float32 and rounded towards zero, as torchvision does.
    """
    centre, half = (box[:2] + box[2:]) * np.float32(0.5), (box[2:] - box[:2]) * np.float32(0.5)
    half = half * np.float32((side + 2 * _PADDING) / side)
    left, top = (centre - half).astype(np.int64).tolist()
    right, bottom = (centre + half).astype(np.int64).tolist()
    return left, top, right + 1, bottom + 1


def _places(pixels: NDArray[np.int64], length: int, count: int) -> NDArray[np.float64]:
    """Coordinates of pixels along a side, in cells from the centre of the first one."""
    return ((pixels + 0.5) * (count / length) - 0.5).clip(0, count - 1)


def _pixels(places: NDArray[np.float64], length: int, count: int) -> NDArray[np.float64]:
    """The inverse of `_places`, but for its ends."""
    return (places + 0.5) * (length / count) - 0.5


def _interpolated(cells: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolates (P, P) cells at C horizontal coordinates: (C, P), each column at the centres of the cells."""
    before = np.minimum(places.astype(np.int64), len(cells) - 2)
    share = (places - before)[:, None]
    return cells.T[before] * (1 - share) + cells.T[before + 1] * share
