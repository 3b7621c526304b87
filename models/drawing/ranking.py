"""Draws the classes of an image as a list with bars, on a blurred panel in the lower left corner."""

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from models.drawing.annotations import Annotation
from models.drawing.lettering import Lettering, drawable
from models.drawing.palette import PAPER
from models.drawing.shapes import fill, frost, rounded

_TRACK_OPACITY: Final = 46
_FAINT_PAPER: Final = (*PAPER, 205)
_WIDEST: Final = 22
"""The most width of the panel in letter sizes."""
_NARROWEST: Final = 13


def draw_ranking(image: Image.Image, annotations: Sequence[Annotation], letter_size: int) -> None:
    """Draws classes with their probabilities: as many as fit into half of the height, at least one.

    Args:
        image: RGB; is drawn on.
        annotations: Best first, at least one.
        letter_size: In pixels.
    """
    lettering = Lettering(letter_size)
    margin, padding, row = round(0.8 * letter_size), round(0.9 * letter_size), round(2.1 * letter_size)
    rows = max(1, min(len(annotations), (image.height // 2 - 2 * padding) // row))
    left_out = len(annotations) - rows
    shown = [
        (drawable(annotation.class_name, f"class {annotation.class_id}"), annotation)
        for annotation in annotations[:rows]
    ]
    percents = [f"{annotation.score:.1%}" for annotation in annotations[:rows]]
    room = max(map(lettering.width, percents)) + letter_size
    inner = max(lettering.width(name) for name, _ in shown) + room
    inner = min(max(inner, _NARROWEST * letter_size), _WIDEST * letter_size, image.width - 2 * (margin + padding))
    height = 2 * padding + rows * row - round(0.6 * letter_size) + (round(1.4 * letter_size) if left_out else 0)
    x, y = margin, image.height - margin - height
    frost(image, (x, y, x + inner + 2 * padding, y + height), letter_size)
    pen = ImageDraw.Draw(image, "RGBA")
    x, y = x + padding, y + padding
    for (name, annotation), percent in zip(shown, percents, strict=True):
        baseline = y + lettering.baseline(letter_size)
        pen.text((x, baseline), lettering.fit(name, inner - room), fill=PAPER, font=lettering.font, anchor="ls")
        pen.text((x + inner, baseline), percent, fill=_FAINT_PAPER, font=lettering.font, anchor="rs")
        _bar(image, (x, y + round(1.2 * letter_size)), (max(3, letter_size // 4), inner), annotation)
        y += row
    if left_out:
        baseline = y + lettering.baseline(letter_size)
        pen.text((x, baseline), f"and {left_out} more", fill=_FAINT_PAPER, font=lettering.font, anchor="ls")


def _bar(image: Image.Image, place: tuple[int, int], size: tuple[int, int], annotation: Annotation) -> None:
    height, width = size
    fill(image, place, rounded(size, height, opacity=_TRACK_OPACITY), PAPER)
    length = round(width * min(max(annotation.score, 0.0), 1.0))
    fill(image, place, rounded((height, max(height, length)), height), annotation.color)
