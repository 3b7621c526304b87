"""Draws masks on a picture: a translucent fill, a contour line, and a thin shadow around.

Every pixel shows one mask, the smallest of those that cover it, so that colours never mix and small masks are not
hidden by larger ones. Lines lie within their masks and shadows outside: a mask with a line has its predicted size.
Where a mask touches the border of the picture, there is no line, as the object may continue outside.

Each mask is decoded within its bounds, scaled to the picture and painted in blocks: memory holds the region of one
mask, and one byte for each pixel of the picture.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from models.drawing.annotations import Annotation
from models.drawing.labels import Rectangle
from models.drawing.palette import INK, Color

_FILL: Final = 0.4
"""Opacity of the fill."""
_FAINTER: Final = [round(_FILL * grey) for grey in range(256)]
_SHADOW: Final = 0.6
_SLENDER: Final = 12
"""The width of a line is at most the square root of the mask's area divided by this."""
_SOFT: Final = 5
"""Lines thinner than this many pixels are antialiased; in thicker ones steps of a pixel are invisible."""
_EDGE: Final = 1.5
"""Width of the smooth edges of an enlarged mask, in pixels."""
_BLOCK: Final = 256
_HEAD: Final = 0.12
"""Fraction of a mask's height, from the top, at which its label is placed."""


def draw_areas(
    image: Image.Image, annotations: Sequence[Annotation], scale: tuple[float, float], line: int
) -> tuple[list[Rectangle | None], Image.Image]:
    """Draws the masks of annotations.

    Args:
        image: RGB; is drawn on.
        annotations: In any order; those without a mask are skipped.
        scale: Canvas pixels per pixel of the original: (vertical, horizontal).
        line: Width of the lines in pixels of the canvas; those of small masks are thinner.

    Returns:
        For each annotation where its name would stand: the bounds of the mask, but only as wide as its uppermost part;
        None where there is no mask or it is empty. And 8-bit grey of the size of the image: 255 where no mask is.
    """
    heads: list[Rectangle | None] = [None] * len(annotations)
    free = Image.new("L", image.size, 255)
    masks = [
        (place, annotation, annotation.mask)
        for place, annotation in enumerate(annotations)
        if annotation.mask is not None
    ]
    for place, annotation, mask in sorted(masks, key=lambda one: one[2].area):
        region, (top, left) = mask.to_region()
        if not region.size:
            continue
        slender = round(math.sqrt(mask.area * scale[0] * scale[1]) / _SLENDER)
        painter = _Painter(image, free, annotation.color, max(1, min(line, slender)))
        painter.paint(_Part(region, top, left, mask.size), scale)
        heads[place] = _head(_Part(region, top, left, mask.size), scale)
    return heads, free


class _Part(NamedTuple):
    """A mask cropped to its bounds.

    Attributes:
        pixels: (h, w) bool.
        top: Row of the original at which they begin.
        left: Column.
        size: (height, width) of the original in pixels.
    """

    pixels: NDArray[np.bool_]
    top: int
    left: int
    size: tuple[int, int]


class _Painter:
    """Paints masks in one colour.

    Args:
        image: RGB; is drawn on.
        free: 8-bit grey of the same size: the fraction of a pixel without a mask; painting decreases it.
        color: Of masks and lines.
        line: Width of a line in pixels.
    """

    def __init__(self, image: Image.Image, free: Image.Image, color: Color, line: int) -> None:
        self._image, self._free, self._color = image, free, color
        shadow = max(1, line // 2)
        self._is_soft = line < _SOFT
        self._reach = 1.25 * line - 0.5
        """Radius of the blur that measures the distance to the border; large enough for lines of isotropic width."""
        width = 2 * self._reach + 1
        self._within = _step(0.5 + line / width, width, 1, _FILL)
        self._around = _step(0.5 - shadow / width, width, 0, _SHADOW)
        self._halo = math.ceil(self._reach) + shadow + 1

    def paint(self, part: _Part, scale: tuple[float, float]) -> None:
        """Paints a mask at its position."""
        cover, (left, top) = _scaled(part, scale, self._halo)
        if self._is_soft and scale == (1, 1):
            cover = cover.filter(ImageFilter.BoxBlur(0.5))
        for x0, y0, x1, y1 in _blocks(cover.size):
            near = max(0, x0 - self._halo), max(0, y0 - self._halo)
            far = min(cover.width, x1 + self._halo), min(cover.height, y1 + self._halo)
            inside = (x0 - near[0], y0 - near[1], x1 - near[0], y1 - near[1])
            self._paint_block(cover.crop((*near, *far)), inside, (left + x0, top + y0, left + x1, top + y1))

    def _paint_block(self, cover: Image.Image, inside: Rectangle, area: Rectangle) -> None:
        """Paints `cover`, the mask in 8-bit grey, within `inside`; the area around determines the borders."""
        lowest, highest = cast(tuple[int, int], cover.getextrema())
        if highest == 0:
            return
        free = self._free.crop(area)
        if lowest == 255:
            claimed, colored = cover.crop(inside), free.point(_FAINTER)
        else:
            field = cover.filter(ImageFilter.BoxBlur(self._reach)).crop(inside)
            cover = cover.crop(inside)
            shadow = ImageChops.multiply(field.point(self._around), ImageChops.invert(cover))
            claimed = ImageChops.add(cover, shadow)
            colored = ImageChops.multiply(ImageChops.multiply(field.point(self._within), cover), free)
            self._image.paste(INK, area, ImageChops.multiply(shadow, free))
        self._image.paste(self._color, area, colored)
        self._free.paste(ImageChops.multiply(free, ImageChops.invert(claimed)), area)


def _scaled(part: _Part, scale: tuple[float, float], halo: int) -> tuple[Image.Image, tuple[int, int]]:
    """Resizes a mask to the scale of the canvas.

    Args:
        part: The mask.
        scale: Canvas pixels per pixel of the original: (vertical, horizontal).
        halo: Margin around it in pixels of the canvas, clipped to the canvas.

    Returns:
        8-bit grey, and the (x, y) on the canvas of its upper left corner.
    """
    height, width = part.pixels.shape
    y0, y1, top, bottom = _span(part.top, part.top + height, part.size[0], scale[0], halo)
    x0, x1, left, right = _span(part.left, part.left + width, part.size[1], scale[1], halo)
    room = Image.new("L", (right - left, bottom - top))
    pixels = np.multiply(part.pixels, 255, dtype=np.uint8)
    room.paste(Image.fromarray(pixels), (part.left - left, part.top - top))
    if scale == (1, 1):
        return room, (x0, y0)
    source = (
        max(0, x0 / scale[1] - left),
        max(0, y0 / scale[0] - top),
        min(room.width, x1 / scale[1] - left),
        min(room.height, y1 / scale[0] - top),
    )
    enlarged = max(scale)
    resample = Image.Resampling.BILINEAR if enlarged > 1 else Image.Resampling.BOX
    cover = room.resize((x1 - x0, y1 - y0), resample, source)
    return (cover.point(_step(0.5, max(1.0, enlarged / _EDGE), 0, 1)) if enlarged > 1 else cover), (x0, y0)


def _span(first: int, last: int, side: int, factor: float, halo: int) -> tuple[int, int, int, int]:
    """The range of canvas pixels of a range of the original, with a margin, and the range of the original under it."""
    begin, end = max(0, math.floor(first * factor) - halo), min(round(side * factor), math.ceil(last * factor) + halo)
    return begin, end, math.floor(begin / factor), min(side, math.ceil(end / factor))


def _blocks(size: tuple[int, int]) -> Iterator[Rectangle]:
    """Splits (width, height) into blocks."""
    for y in range(0, size[1], _BLOCK):
        for x in range(0, size[0], _BLOCK):
            yield x, y, min(x + _BLOCK, size[0]), min(y + _BLOCK, size[1])


def _head(part: _Part, scale: tuple[float, float]) -> Rectangle:
    height = part.pixels.shape[0]
    columns = part.left + np.flatnonzero(part.pixels[: max(1, round(_HEAD * height))].any(axis=0))
    x0, x1 = math.floor(columns[0] * scale[1]), math.ceil((columns[-1] + 1) * scale[1])
    return x0, math.floor(part.top * scale[0]), x1, math.ceil((part.top + height) * scale[0])


@lru_cache(maxsize=256)
def _step(at: float, slope: float, before: float, behind: float) -> list[int]:
    """A look-up table for 8-bit grey, 0 to 1: `before` below `at`, `behind` above it, with a ramp of this slope."""
    shares = np.clip((np.arange(256) / 255 - at) * slope + 0.5, 0, 1)
    return np.rint(255 * (before + shares * (behind - before))).astype(int).tolist()
