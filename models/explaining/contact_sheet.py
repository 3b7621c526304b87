"""Draws many small pictures on one sheet: the feature maps of a layer, or its filters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.drawing.lettering import Lettering
from models.drawing.palette import INK
from models.explaining.feature_maps import FeatureMaps

MAX_SHOWN: Final = 64
"""The most feature maps of a sheet, unless more are wanted."""
_TILE_SIDE: Final = 96
"""Longest side of a tile in pixels: smaller pictures are enlarged by a whole factor, larger ones are shrunk."""
_GAP: Final = 6
_LETTER_SIZE: Final = 12
_PALE: Final = (200, 205, 214)


@dataclass(frozen=True, eq=False)
class ContactSheet:
    """Small pictures on one sheet.

    Attributes:
        image: The sheet, RGB.
        tile_size: (height, width) of each picture on it in pixels.
        numbers: What stands below each picture, in their order.
        places: (x, y) of the upper left corner of each picture in pixels.
    """

    image: Image.Image
    tile_size: tuple[int, int]
    numbers: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


def map_sheet(maps: FeatureMaps, count: int = MAX_SHOWN) -> ContactSheet:
    """Draws the feature maps that vary most, with the numbers of their channels.

    Args:
        maps: Of a layer.
        count: The most of them.
    """
    channels = maps.strongest(count)
    return contact_sheet([maps.picture(channel) for channel in channels], channels)


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], numbers: Sequence[int]) -> ContactSheet:
    """Draws pictures in rows, about as high as wide altogether.

    Args:
        pictures: (H, W, 3) uint8 RGB, all of one size; at least one.
        numbers: One for each, drawn below it.
    """
    height, width = _tile_size(pictures[0].shape[0], pictures[0].shape[1])
    cell_width, cell_height = width + _GAP, height + _LETTER_SIZE + _GAP
    columns = min(len(pictures), max(1, round(math.sqrt(len(pictures) * cell_height / cell_width))))
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), INK)
    pen, lettering = ImageDraw.Draw(sheet), Lettering(_LETTER_SIZE)
    places: list[tuple[int, int]] = []
    for index, (picture, number) in enumerate(zip(pictures, numbers, strict=True)):
        row, column = divmod(index, columns)
        left, top = _GAP + column * cell_width, _GAP + row * cell_height
        places.append((left, top))
        sheet.paste(_resized(picture, height, width), (left, top))
        baseline = top + height + lettering.baseline(_LETTER_SIZE)
        pen.text((left, baseline), lettering.fit(str(number), width), _PALE, lettering.font, anchor="ls")
    return ContactSheet(sheet, (height, width), tuple(numbers), tuple(places))


def _tile_size(height: int, width: int) -> tuple[int, int]:
    longest = max(height, width)
    if longest <= _TILE_SIDE:
        factor = _TILE_SIDE // longest
        return height * factor, width * factor
    return max(1, height * _TILE_SIDE // longest), max(1, width * _TILE_SIDE // longest)


def _resized(picture: NDArray[np.uint8], height: int, width: int) -> Image.Image:
    image = Image.fromarray(picture)
    enlarges = height >= picture.shape[0]
    return image.resize((width, height), Image.Resampling.NEAREST if enlarges else Image.Resampling.BOX)
