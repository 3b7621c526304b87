"""Places and draws the labels of objects: each at its box, within the picture, without overlap."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from models.drawing.lettering import Lettering
from models.drawing.palette import INK, Color
from models.drawing.shapes import Corners, fill, rounded

Rectangle = tuple[int, int, int, int]
"""x_min, y_min, x_max, y_max in pixels of the canvas, the last two exclusive."""
Caption = tuple[str, str]
"""Class name and score on a label; either may be empty."""

_FAINT_INK: Final = (*INK, 190)
_TOP: Final[Corners] = (True, True, False, False)
_BOTTOM: Final[Corners] = (False, False, True, True)
_TOP_LEFT: Final[Corners] = (True, False, False, False)
_TOP_RIGHT: Final[Corners] = (False, True, False, False)
_BOTTOM_RIGHT: Final[Corners] = (False, False, True, False)
_BOTTOM_LEFT: Final[Corners] = (False, False, False, True)
_SMALL: Final = 30
"""Smaller boxes are not covered by labels if possible; in squares of the letter size, of which a label has about
ten."""
_MOST_COVERED: Final = 0.15
"""The most of the picture that labels cover; further ones, of the objects with the lowest scores, are dropped."""
_LONGEST_NAME: Final = 16
"""Longest name in letter sizes; longer ones are truncated with an ellipsis."""


@dataclass(frozen=True, slots=True)
class Label:
    """Position and text of a label.

    Attributes:
        area: Its rectangle.
        corners: The rounded corners, those that do not touch the box.
        name: Of the class; empty where there is room for the score only.
        score: Empty where there is room for the name only.
    """

    area: Rectangle
    corners: Corners
    name: str
    score: str


class LabelLayout:
    """Places labels one after the other.

    Args:
        size: (width, height) of the canvas in pixels.
        letter_size: In pixels.
        outlines: The boxes of all objects: small ones are not covered if possible.
    """

    def __init__(self, size: tuple[int, int], letter_size: int, outlines: Sequence[Rectangle]) -> None:
        self._width, self._height = size
        self._lettering = Lettering(letter_size)
        self._label_height = round(1.5 * letter_size)
        self._padding = round(0.45 * letter_size)
        self._gap = round(0.4 * letter_size)
        self._left = _MOST_COVERED * self._width * self._height
        self._taken = np.zeros((self._height, self._width), np.bool_)
        self._small = np.zeros((self._height, self._width), np.bool_)
        for x0, y0, x1, y1 in outlines:
            if (x1 - x0) * (y1 - y0) < _SMALL * letter_size**2:
                self._small[y0:y1, x0:x1] = True

    def place(self, outline: Rectangle, captions: Sequence[Caption], *, clear: bool = False) -> Label | None:
        """Places a label where it covers no earlier one.

        Args:
            outline: The box, line included.
            captions: Candidate texts, in the order of preference.
            clear: Whether it must not cover small objects either.

        Returns:
            The label with the first caption that fits; None where none does.
        """
        if self._left <= 0:
            return None
        for caption in captions:
            label = self._place(*caption, outline, 1 if clear else math.inf)
            if label is not None:
                x0, y0, x1, y1 = label.area
                self._taken[y0:y1, x0:x1] = True
                self._left -= (x1 - x0) * (y1 - y0)
                return label
        return None

    def paint(self, image: Image.Image, pen: ImageDraw.ImageDraw, label: Label, color: Color) -> None:
        """Draws a placed label."""
        x, y, x_end, y_end = label.area
        radius = max(2, self._lettering.size // 4)
        fill(image, (x, y), rounded((y_end - y, x_end - x), radius, label.corners), color)
        baseline = y + self._lettering.baseline(self._label_height)
        x += self._padding
        if label.name:
            pen.text((x, baseline), label.name, fill=(*INK, 255), font=self._lettering.font, anchor="ls")
        ink = _FAINT_INK if label.name else (*INK, 255)
        pen.text((x_end - self._padding, baseline), label.score, fill=ink, font=self._lettering.font, anchor="rs")

    def _place(self, name: str, score: str, outline: Rectangle, limit: float) -> Label | None:
        """The position that covers the fewest pixels of small objects, and fewer than `limit`."""
        score_width = self._lettering.width(score) if score else 0
        around = 2 * self._padding + score_width + (self._gap if name and score else 0)
        room = min(self._width - around, _LONGEST_NAME * self._lettering.size)
        if name and not (name := self._lettering.fit(name, room)):
            return None
        width = around + (self._lettering.width(name) if name else 0)
        best: Label | None = None
        least = limit
        for area, corners in self._places(outline, width):
            x0, y0, x1, y1 = area
            inside = x0 >= 0 and y0 >= 0 and x1 <= self._width and y1 <= self._height
            if not inside or self._taken[y0:y1, x0:x1].any():
                continue
            covered = np.count_nonzero(self._small[y0:y1, x0:x1])
            if covered < least:
                best, least = Label(area, corners, name, score), covered
            if covered == 0:
                break
        return best

    def _places(self, outline: Rectangle, width: int) -> Iterator[tuple[Rectangle, Corners]]:
        """Positions for a label of this width, in the order of preference: on the box, or in it if that is large."""
        x0, y0, x1, y1 = outline
        height = self._label_height
        left, right = min(x0, self._width - width), max(0, x1 - width)
        above = ((left, y0 - height, _TOP), (right, y0 - height, _TOP))
        below = ((left, y1, _BOTTOM), (right, y1, _BOTTOM))
        inside = ((left, y0, _BOTTOM_RIGHT), (right, y0, _BOTTOM_LEFT))
        at_foot = ((left, y1 - height, _TOP_RIGHT), (right, y1 - height, _TOP_LEFT))
        roomy = y1 - y0 >= 3 * height and x1 - x0 >= width
        order = (above, inside, below, at_foot) if roomy else (above, below, inside)
        for x, y, corners in chain.from_iterable(order):
            yield (x, y, x + width, y + height), corners
