"""Antialiased rounded rectangles, which Pillow does not draw, and blurred panels."""

from functools import lru_cache
from typing import Final

from PIL import Image, ImageDraw

from models.drawing.palette import INK, Color

Corners = tuple[bool, bool, bool, bool]
"""Whether each corner is rounded: top left, top right, bottom right, bottom left."""
ALL_ROUND: Final[Corners] = (True, True, True, True)
_SAMPLES: Final = 4
_GLASS_OPACITY: Final = 0.72


@lru_cache(maxsize=512)
def rounded(size: tuple[int, int], radius: int, corners: Corners = ALL_ROUND, opacity: int = 255) -> Image.Image:
    """Makes the mask of a rounded rectangle.

    Args:
        size: (height, width) in pixels.
        radius: Of the corners in pixels; less where the rectangle is too small for it.
        corners: Which of them are round.
        opacity: Value inside, 0 to 255.

    Returns:
        8-bit grey, to paste with; shared, not to be changed.
    """
    height, width = size
    mask = Image.new("L", (width, height), opacity)
    radius = min(radius, height // 2, width // 2)
    if radius < 1:
        return mask
    quarter = _quarter(radius).point(lambda value: value * opacity / 255)
    places = ((0, 0), (width - radius, 0), (width - radius, height - radius), (0, height - radius))
    for turns, (place, is_round) in enumerate(zip(places, corners, strict=True)):
        if is_round:
            mask.paste(quarter.rotate(-90 * turns), place)
    return mask


def fill(image: Image.Image, place: tuple[int, int], mask: Image.Image, color: Color) -> None:
    """Paints a colour through a mask whose top left corner lies at `place` (x, y)."""
    x, y = place
    image.paste(color, (x, y, x + mask.width, y + mask.height), mask)


def frost(image: Image.Image, area: tuple[int, int, int, int], letter_size: int) -> None:
    """Blurs and darkens a rectangle of a picture, so that text on it is legible on any background.

    Args:
        image: RGB; is drawn on.
        area: x_min, y_min, x_max, y_max in pixels, the last two exclusive.
        letter_size: In pixels; smaller details are blurred, and the corner radius is half of it.
    """
    part = image.crop(area)
    coarse = (max(1, part.width // letter_size), max(1, part.height // letter_size))
    soft = part.resize(coarse, Image.Resampling.BOX).resize(part.size, Image.Resampling.BICUBIC)
    glass = Image.blend(soft, Image.new("RGB", part.size, INK), _GLASS_OPACITY)
    image.paste(glass, area, rounded((part.height, part.width), letter_size // 2))


@lru_cache(maxsize=64)
def _quarter(radius: int) -> Image.Image:
    """The top left corner of a disc, (radius, radius)."""
    side = radius * _SAMPLES
    fine = Image.new("L", (side, side), 0)
    ImageDraw.Draw(fine).ellipse((0, 0, 2 * side - 1, 2 * side - 1), fill=255)
    return fine.resize((radius, radius), Image.Resampling.BOX)
