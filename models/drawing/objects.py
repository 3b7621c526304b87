"""Objects on a picture: a line around each, and chips with names and scores that keep out of each other's way.

Painted in layers: masks, lines, and then chips, the worst object first. So no line runs through a name, and where
objects overlap, the best one lies on top. An object with a mask has no line but that of its mask.
"""

import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from models.drawing.annotations import Mark
from models.drawing.areas import draw_areas
from models.drawing.labels import Chip, ChipLayout, Rectangle, Wording
from models.drawing.lettering import drawable
from models.drawing.palette import INK, Color

_SHADOW: Final = (*INK, 120)
_CROWDED: Final = 0.08
"""Where the chips would cover more than this share of the picture, letters and lines are smaller and names go."""
_NARROW: Final = 4
"""In letter sizes: a box on which a name would jut out far."""
_CHIP_AREA: Final = 10
"""Of a usual chip, in squares of the letter size."""


def draw_objects(image: Image.Image, marks: Sequence[Mark], scale: tuple[float, float], letter_size: int) -> None:
    """Draws objects with their names and scores.

    Args:
        image: RGB; is drawn on.
        marks: Best first, each with a box.
        scale: Canvas pixels per pixel of the original: (vertical, horizontal).
        letter_size: Of the text on an uncrowded picture, in pixels.
    """
    crowded = len(marks) * _CHIP_AREA * letter_size**2 > _CROWDED * image.width * image.height
    if crowded:
        letter_size = max(11, round(letter_size * 0.8))
    line = max(1 if crowded else 2, round(letter_size / 7))
    outlines = [_outline(mark, scale, image, 2 * line) for mark in marks]
    colors = [mark.color for mark in marks]
    heads, _ = draw_areas(image, marks, scale, line)
    pen = ImageDraw.Draw(image, "RGBA")
    for outline, color, head in zip(reversed(outlines), reversed(colors), reversed(heads), strict=True):
        if head is None:
            _frame(pen, outline, line, color)
    chips = ChipLayout(image.size, letter_size, outlines)
    narrow = _NARROW * letter_size
    one_name = len({mark.class_name for mark in marks}) == 1
    placed: list[Chip | None] = []
    for rank, (mark, outline, head) in enumerate(zip(marks, outlines, heads, strict=True)):
        little = crowded or _width(outline) < narrow or math.isnan(mark.score)
        wordings = _wordings(mark, one_name, can_go=rank > 0 and little)
        clear = crowded and rank > 0 and head is not None
        placed.append(chips.place(head or outline, wordings, clear=clear))
    for chip, color in zip(reversed(placed), reversed(colors), strict=True):
        if chip is not None:
            chips.paint(image, pen, chip, color)


def _wordings(mark: Mark, one_name: bool, *, can_go: bool) -> list[Wording]:
    """What a chip may say, the best first: what tells least goes where there is little room.

    Args:
        mark: The object.
        one_name: Whether all objects have the same name, so that only the score tells them apart.
        can_go: Whether such a name goes at once, as on small objects, on all but the best of many, and on all but the
            first of those that nobody predicted.
    """
    name = drawable(mark.class_name, f"class {mark.class_id}")
    if math.isnan(mark.score):
        return [] if one_name and can_go else [(name, "")]
    score = f"{mark.score:.2f}"
    if not one_name:
        return [(name, score), (name, "")]
    return [("", score)] if can_go else [(name, score), ("", score)]


def _width(outline: Rectangle) -> int:
    return outline[2] - outline[0]


def _outline(mark: Mark, scale: tuple[float, float], image: Image.Image, least: int) -> Rectangle:
    """The box in pixels of the canvas, within it, and at least `least` pixels on each side."""
    x0, y0, x1, y1 = mark.box or (0.0, 0.0, 0.0, 0.0)
    left, right = _span(x0 * scale[1], x1 * scale[1], image.width, least)
    top, bottom = _span(y0 * scale[0], y1 * scale[0], image.height, least)
    return left, top, right, bottom


def _span(start: float, end: float, limit: int, least: int) -> tuple[int, int]:
    first = max(0, min(round(start), limit - least))
    return first, max(first + least, min(round(end), limit))


def _frame(pen: ImageDraw.ImageDraw, outline: Rectangle, line: int, color: Color) -> None:
    """A line within `outline`, thinner for a small one, and a shadow on both sides, for a ground of the same colour."""
    line = max(1, min(line, (outline[2] - outline[0]) // 8, (outline[3] - outline[1]) // 8))
    shadow = max(1, line // 2)
    _ring(pen, outline, shadow, shadow, _SHADOW)
    _ring(pen, outline, -line, shadow, _SHADOW)
    _ring(pen, outline, 0, line, (*color, 255))


def _ring(pen: ImageDraw.ImageDraw, outline: Rectangle, grow: int, width: int, color: tuple[int, ...]) -> None:
    """Four bars that do not overlap, inside the outline grown by `grow` pixels."""
    x0, y0, x1, y1 = outline[0] - grow, outline[1] - grow, outline[2] + grow - 1, outline[3] + grow - 1
    if x1 - x0 < 2 * width or y1 - y0 < 2 * width:
        return
    pen.rectangle((x0, y0, x1, y0 + width - 1), fill=color)
    pen.rectangle((x0, y1 - width + 1, x1, y1), fill=color)
    pen.rectangle((x0, y0 + width, x0 + width - 1, y1 - width), fill=color)
    pen.rectangle((x1 - width + 1, y0 + width, x1, y1 - width), fill=color)
