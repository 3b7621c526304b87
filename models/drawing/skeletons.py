"""Draws the key points of objects: lines between joints, and a dot on each.

A line has the colour of its object, with a dark edge, so that people who overlap can be distinguished. Dots of the left
side are light, those of the right side dark, so that crossed legs can be read.
"""

import math
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from models.drawing.annotations import Annotation, Pose
from models.drawing.palette import INK, PAPER, Color

_SHADOW: Final = (*INK, 150)
_SHARE: Final = 0.018
"""Width of a line as a share of the object's longer side."""
_DOT: Final = 0.9
"""Radius of a dot in widths of the line."""
_SUPERSAMPLING: Final = 2
"""Lines are drawn so many times larger and shrunk, for smooth edges."""


def draw_poses(
    image: Image.Image, annotations: Sequence[Annotation], scale: tuple[float, float], letter_size: int
) -> None:
    """Draws the skeletons of objects, the best one on top.

    Args:
        image: RGB; is drawn on.
        annotations: Best first; those without key points are skipped.
        scale: Canvas pixels per pixel of the original: (vertical, horizontal).
        letter_size: In pixels; lines are at most a third of it wide.
    """
    for annotation in reversed(annotations):
        if annotation.pose is not None and any(annotation.pose.shown):
            _draw_pose(image, annotation, annotation.pose, scale, letter_size)


def _draw_pose(
    image: Image.Image, annotation: Annotation, pose: Pose, scale: tuple[float, float], letter_size: int
) -> None:
    x_min, y_min, x_max, y_max = annotation.box or (0.0, 0.0, 0.0, 0.0)
    longest = max((x_max - x_min) * scale[1], (y_max - y_min) * scale[0])
    line = max(1.5, min(_SHARE * longest, letter_size / 3))
    places = [
        (x * scale[1], y * scale[0]) if shown else None for (x, y), shown in zip(pose.points, pose.shown, strict=True)
    ]
    drawn = [place for place in places if place is not None]
    margin = math.ceil(3 * line)
    left, top = (max(0, math.floor(min(place[axis] for place in drawn)) - margin) for axis in (0, 1))
    right, bottom = (
        min(limit, math.ceil(max(place[axis] for place in drawn)) + margin)
        for axis, limit in ((0, image.width), (1, image.height))
    )
    if right <= left or bottom <= top:
        return
    layer = _Layer((right - left, bottom - top), (left, top))
    joined = [(places[start], places[end]) for start, end in pose.edges]
    lines = [(start, end) for start, end in joined if start is not None and end is not None]
    layer.lines(lines, line + max(1.0, line / 2), _SHADOW)
    layer.lines(lines, line, (*annotation.color, 255))
    for place, side in zip(places, pose.sides, strict=True):
        if place is not None:
            layer.dot(place, _DOT * line + max(0.75, line / 3), (*INK, 255))
            layer.dot(place, _DOT * line, (*_dot_color(annotation.color, side), 255))
    layer.paste_on(image)


def _dot_color(color: Color, side: int) -> Color:
    towards = {-1: PAPER, 1: INK}.get(side)
    if towards is None:
        return color
    red, green, blue = ((own + 3 * other) // 4 for own, other in zip(color, towards, strict=True))
    return red, green, blue


class _Layer:
    """A transparent picture of part of the canvas, drawn larger.

    Args:
        size: (width, height) of the part in pixels.
        origin: x and y of its corner on the canvas.
    """

    def __init__(self, size: tuple[int, int], origin: tuple[int, int]) -> None:
        self._size, self._origin = size, origin
        self._image = Image.new("RGBA", (_SUPERSAMPLING * size[0], _SUPERSAMPLING * size[1]), (*INK, 0))
        self._pen = ImageDraw.Draw(self._image)

    def lines(
        self,
        lines: Sequence[tuple[tuple[float, float], tuple[float, float]]],
        width: float,
        color: tuple[int, int, int, int],
    ) -> None:
        """Draws lines with round ends."""
        for start, end in lines:
            across = max(1, round(_SUPERSAMPLING * width))
            self._pen.line([self._at(start), self._at(end)], fill=color, width=across)
            for place in (start, end):
                self.dot(place, width / 2, color)

    def dot(self, place: tuple[float, float], radius: float, color: tuple[int, int, int, int]) -> None:
        """Fills a circle."""
        (x, y), reach = self._at(place), _SUPERSAMPLING * radius
        self._pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=color)

    def paste_on(self, image: Image.Image) -> None:
        """Shrinks the layer and puts it on the canvas."""
        small = self._image.resize(self._size, Image.Resampling.BOX)
        image.paste(small, self._origin, small)

    def _at(self, place: tuple[float, float]) -> tuple[float, float]:
        return _SUPERSAMPLING * (place[0] - self._origin[0]), _SUPERSAMPLING * (place[1] - self._origin[1])
