"""The classes of a whole picture: a list with bars on a panel of frosted glass, in the lower left corner."""

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from models.drawing.annotations import Mark
from models.drawing.lettering import Lettering, drawable
from models.drawing.palette import PAPER
from models.drawing.shapes import fill, frost, rounded

_TRACK_OPACITY: Final = 46
_FAINT_PAPER: Final = (*PAPER, 205)
_WIDEST: Final = 22
"""Width of the panel in letter sizes, where the names are as long."""
_NARROWEST: Final = 13


def draw_ranking(image: Image.Image, marks: Sequence[Mark], letter_size: int) -> None:
    """Draws classes with their probabilities: as many as fit into half of the height, at least one.

    Args:
        image: RGB; is drawn on.
        marks: Best first, at least one.
        letter_size: In pixels.
    """
    lettering = Lettering(letter_size)
    margin, padding, row = round(0.8 * letter_size), round(0.9 * letter_size), round(2.1 * letter_size)
    rows = max(1, min(len(marks), (image.height // 2 - 2 * padding) // row))
    left_out = len(marks) - rows
    shown = [(drawable(mark.class_name, f"class {mark.class_id}"), mark) for mark in marks[:rows]]
    percents = [f"{mark.score:.1%}" for mark in marks[:rows]]
    room = max(map(lettering.width, percents)) + letter_size
    inner = max(lettering.width(name) for name, _ in shown) + room
    inner = min(max(inner, _NARROWEST * letter_size), _WIDEST * letter_size, image.width - 2 * (margin + padding))
    height = 2 * padding + rows * row - round(0.6 * letter_size) + (round(1.4 * letter_size) if left_out else 0)
    x, y = margin, image.height - margin - height
    frost(image, (x, y, x + inner + 2 * padding, y + height), letter_size)
    pen = ImageDraw.Draw(image, "RGBA")
    x, y = x + padding, y + padding
    for (name, mark), percent in zip(shown, percents, strict=True):
        baseline = y + lettering.baseline(letter_size)
        pen.text((x, baseline), lettering.fit(name, inner - room), fill=PAPER, font=lettering.font, anchor="ls")
        pen.text((x + inner, baseline), percent, fill=_FAINT_PAPER, font=lettering.font, anchor="rs")
        _bar(image, (x, y + round(1.2 * letter_size)), (max(3, letter_size // 4), inner), mark)
        y += row
    if left_out:
        baseline = y + lettering.baseline(letter_size)
        pen.text((x, baseline), f"and {left_out} more", fill=_FAINT_PAPER, font=lettering.font, anchor="ls")


def _bar(image: Image.Image, place: tuple[int, int], size: tuple[int, int], mark: Mark) -> None:
    height, width = size
    fill(image, place, rounded(size, height, opacity=_TRACK_OPACITY), PAPER)
    length = round(width * min(max(mark.score, 0.0), 1.0))
    fill(image, place, rounded((height, max(height, length)), height), mark.color)
