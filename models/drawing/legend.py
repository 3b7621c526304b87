"""The legend of a class map: a panel with the colours of the classes, in the corner where it hides the least."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from models.drawing.annotations import Annotation
from models.drawing.lettering import Lettering, drawable
from models.drawing.palette import PAPER
from models.drawing.shapes import fill, frost, rounded

_FAINT_PAPER: Final = (*PAPER, 205)
_SMALLER: Final = 0.9
"""Letter size of a legend relative to that of labels."""
_HIGHEST: Final = 0.4
"""The most of the picture's height."""
_WIDEST: Final = 18
"""The most width in letter sizes."""


def draw_legend(image: Image.Image, annotations: Sequence[Annotation], letter_size: int, free: Image.Image) -> None:
    """Draws classes with their colours and their shares of the picture: as many as fit, at least one.

    Args:
        image: RGB; is drawn on.
        annotations: Largest first, at least one.
        letter_size: Of the text at objects in a picture of this size, in pixels.
        free: 8-bit grey of the picture's size; brighter pixels are better hidden by the legend.
    """
    letter_size = max(11, round(_SMALLER * letter_size))
    lettering = Lettering(letter_size)
    margin, padding, row = round(0.8 * letter_size), round(0.7 * letter_size), round(1.6 * letter_size)
    rows = max(1, min(len(annotations), (round(_HIGHEST * image.height) - 2 * padding) // row))
    if rows < len(annotations) and rows > 1:
        rows -= 1  # the last one says how many there are behind
    left_out = len(annotations) - rows
    names = [drawable(annotation.class_name, f"class {annotation.class_id}") for annotation in annotations[:rows]]
    shares = [f"{annotation.score:.1%}" for annotation in annotations[:rows]]
    before, behind = round(1.3 * letter_size), max(map(lettering.width, shares)) + letter_size
    inner = before + max(map(lettering.width, names)) + behind
    inner = min(inner, _WIDEST * letter_size, image.width - 2 * (margin + padding))
    height, width = 2 * padding + (rows + bool(left_out)) * row, inner + 2 * padding
    x, y = _emptiest_corner(free, (height, width), margin)
    frost(image, (x, y, x + width, y + height), letter_size)
    pen = ImageDraw.Draw(image, "RGBA")
    x, y = x + padding, y + padding
    swatch = rounded((round(0.8 * letter_size),) * 2, letter_size // 4)
    for name, share, annotation in zip(names, shares, annotations, strict=False):
        baseline = y + lettering.baseline(row)
        fill(image, (x, y + (row - swatch.height) // 2), swatch, annotation.color)
        text = lettering.fit(name, inner - before - behind)
        pen.text((x + before, baseline), text, fill=PAPER, font=lettering.font, anchor="ls")
        pen.text((x + inner, baseline), share, fill=_FAINT_PAPER, font=lettering.font, anchor="rs")
        y += row
    if left_out:
        baseline = y + lettering.baseline(row)
        text = f"and {left_out} more"
        pen.text((x + before, baseline), text, fill=_FAINT_PAPER, font=lettering.font, anchor="ls")


def _emptiest_corner(free: Image.Image, size: tuple[int, int], margin: int) -> tuple[int, int]:
    """(x, y) of the corner where a panel of (height, width) hides the least; of equal ones the lower left one."""
    pixels = np.asarray(free)
    height, width = size
    places = product((margin, free.width - margin - width), (free.height - margin - height, margin))
    return max(places, key=lambda place: int(pixels[place[1] :, place[0] :][:height, :width].sum(dtype=np.int64)))
