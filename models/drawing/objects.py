"""Draws objects on a picture: boxes or masks, and labels with names and scores that do not overlap.

Layers are painted in the order masks, skeletons, boxes, labels, each from the lowest score to the highest. So no line
crosses a label, and of overlapping objects the best one is on top. An object with a mask has no box.
"""

import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from models.drawing.annotations import Annotation
from models.drawing.areas import draw_areas
from models.drawing.labels import Caption, Label, LabelLayout, Rectangle
from models.drawing.lettering import drawable
from models.drawing.palette import INK, Color
from models.drawing.skeletons import draw_poses

_SHADOW: Final = (*INK, 120)
_CROWDED: Final = 0.08
"""Where the labels would cover more than this share of the picture, letters and lines are smaller and names are
dropped."""
_NARROW: Final = 4
"""Width in letter sizes below which a box is much narrower than a name."""
_LABEL_AREA: Final = 10
"""Area of a typical label, in squares of the letter size."""


def draw_objects(
    image: Image.Image, annotations: Sequence[Annotation], scale: tuple[float, float], letter_size: int
) -> None:
    """Draws objects with their names and scores.

    Args:
        image: RGB; is drawn on.
        annotations: Best first, each with a box.
        scale: Canvas pixels per pixel of the original: (vertical, horizontal).
        letter_size: Of the text on an uncrowded picture, in pixels.
    """
    crowded = len(annotations) * _LABEL_AREA * letter_size**2 > _CROWDED * image.width * image.height
    if crowded:
        letter_size = max(11, round(letter_size * 0.8))
    line = max(1 if crowded else 2, round(letter_size / 7))
    outlines = [_outline(annotation, scale, image, 2 * line) for annotation in annotations]
    colors = [annotation.color for annotation in annotations]
    heads, _ = draw_areas(image, annotations, scale, line)
    draw_poses(image, annotations, scale, letter_size)
    pen = ImageDraw.Draw(image, "RGBA")
    for outline, color, head in zip(reversed(outlines), reversed(colors), reversed(heads), strict=True):
        if head is None:
            _frame(pen, outline, line, color)
    labels = LabelLayout(image.size, letter_size, outlines)
    narrow = _NARROW * letter_size
    one_name = len({annotation.class_name for annotation in annotations}) == 1
    placed: list[Label | None] = []
    for rank, (annotation, outline, head) in enumerate(zip(annotations, outlines, heads, strict=True)):
        little = crowded or _width(outline) < narrow or math.isnan(annotation.score)
        captions = _captions(annotation, one_name, can_go=rank > 0 and little)
        clear = crowded and rank > 0 and head is not None
        placed.append(labels.place(head or outline, captions, clear=clear))
    for label, color in zip(reversed(placed), reversed(colors), strict=True):
        if label is not None:
            labels.paint(image, pen, label, color)


def _captions(annotation: Annotation, one_name: bool, *, can_go: bool) -> list[Caption]:
    """Candidate texts of a label, in the order of preference, from complete to short.

    Args:
        annotation: The object.
        one_name: Whether all objects have the same name, so that only the score distinguishes them.
        can_go: Whether such a name is dropped first, as on small objects, on all but the best of many, and on all but
            the first of ground-truth objects.
    """
    name = drawable(annotation.class_name, f"class {annotation.class_id}")
    if math.isnan(annotation.score):
        return [] if one_name and can_go else [(name, "")]
    score = f"{annotation.score:.2f}"
    if not one_name:
        return [(name, score), (name, "")]
    return [("", score)] if can_go else [(name, score), ("", score)]


def _width(outline: Rectangle) -> int:
    return outline[2] - outline[0]


def _outline(annotation: Annotation, scale: tuple[float, float], image: Image.Image, least: int) -> Rectangle:
    """The box in pixels of the canvas, within it, and at least `least` pixels on each side."""
    x0, y0, x1, y1 = annotation.box or (0.0, 0.0, 0.0, 0.0)
    left, right = _span(x0 * scale[1], x1 * scale[1], image.width, least)
    top, bottom = _span(y0 * scale[0], y1 * scale[0], image.height, least)
    return left, top, right, bottom


def _span(start: float, end: float, limit: int, least: int) -> tuple[int, int]:
    first = max(0, min(round(start), limit - least))
    return first, max(first + least, min(round(end), limit))


def _frame(pen: ImageDraw.ImageDraw, outline: Rectangle, line: int, color: Color) -> None:
    """Draws a line within `outline`, thinner for a small one, and a shadow on both sides for contrast."""
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
