"""Draws heat maps, alone and over a photo, in the colours of inferno (`models.explaining.colours`)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.explaining.colours import INFERNO, colour_map

_STRONGEST: Final = 0.78
"""Opacity of the greatest value over a photo."""
_WEAKEST: Final = 0.12
"""Opacity of the value 0: a little darker than the photo, which shows what the map covers."""


def draw_heat(
    values: NDArray[np.float32], area: Sequence[float], image_size: tuple[int, int], size: tuple[int, int]
) -> Image.Image:
    """Draws a heat map alone: grey levels of the image are not shown, and what the map does not cover is black.

    Args:
        values: (h, w) in [0, 1].
        area: x_min, y_min, x_max, y_max that the cells cover, in pixels of the image.
        image_size: (height, width) of the image in pixels.
        size: (height, width) of the picture in pixels.
    """
    strength, _ = _spread(values, area, image_size, size)
    return Image.fromarray(colour_map(strength, INFERNO))


def draw_heat_over(
    photo: NDArray[np.uint8],
    values: NDArray[np.float32],
    area: Sequence[float],
    image_size: tuple[int, int],
    box: Sequence[float] | None = None,
) -> Image.Image:
    """Draws a heat map over a photo: the greater the value, the more opaque.

    Args:
        photo: (H, W, 3) uint8 RGB, at any scale.
        values: (h, w) in [0, 1].
        area: x_min, y_min, x_max, y_max that the cells cover, in pixels of the image.
        image_size: (height, width) of the image in pixels.
        box: Outlined, in pixels of the image; None: no box.
    """
    height, width = photo.shape[:2]
    strength, covered = _spread(values, area, image_size, (height, width))
    opacity = np.where(covered, _WEAKEST + (_STRONGEST - _WEAKEST) * strength, 0.0)[..., None].astype(np.float32)
    mixed = photo * (1 - opacity) + colour_map(strength, INFERNO) * opacity
    picture = Image.fromarray(mixed.round().astype(np.uint8))
    if box is not None:
        vertical, horizontal = height / image_size[0], width / image_size[1]
        corners = [box[0] * horizontal, box[1] * vertical, box[2] * horizontal - 1, box[3] * vertical - 1]
        corners[2:] = max(corners[0], corners[2]), max(corners[1], corners[3])  # Pillow refuses a box without area
        line = max(2, round(min(height, width) / 200))
        pen = ImageDraw.Draw(picture)
        pen.rectangle([corners[0] - 1, corners[1] - 1, corners[2] + 1, corners[3] + 1], outline="black", width=line + 2)
        pen.rectangle(corners, outline="white", width=line)
    return picture


def _spread(
    values: NDArray[np.float32], area: Sequence[float], image_size: tuple[int, int], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The values at each pixel of a picture of the whole image, bilinear between the centres of cells, and which pixels
    they cover."""
    height, width = size
    down, rows = _places(height, image_size[0], area[1], area[3], values.shape[0])
    across, columns = _places(width, image_size[1], area[0], area[2], values.shape[1])
    upper, left = np.floor(down).astype(int), np.floor(across).astype(int)
    lower, right = np.minimum(upper + 1, values.shape[0] - 1), np.minimum(left + 1, values.shape[1] - 1)
    beside = (across - left)[None].astype(np.float32)
    below = (down - upper)[:, None].astype(np.float32)
    at_rows = values[upper] * (1 - below) + values[lower] * below
    spread = at_rows[:, left] * (1 - beside) + at_rows[:, right] * beside
    covered = rows[:, None] & columns[None]
    return np.where(covered, spread, 0).astype(np.float32), covered


def _places(
    length: int, image_length: int, start: float, end: float, cells: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of each pixel along one side, the place among the cells, and whether they cover it."""
    at = (np.arange(length) + 0.5) * (image_length / length)
    place = (at - start) / (end - start) * cells - 0.5
    return place.clip(0, cells - 1), (at >= start) & (at <= end)
