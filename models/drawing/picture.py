"""Draws predictions of any task on their photo; needs Pillow and numpy, and no torch.

    annotations_of_answer(json) ─► draw(photo, annotations) ─► PIL image ─► encode(image, "jpeg")

The picture has the photo's size, with three exceptions. A photo whose longest side is below 480 pixels is enlarged by a
whole factor, since nothing legible fits on it; one with a side above 4096 pixels is shrunk; and a strip is extended on
a dark ground to at least 160 pixels.

Milliseconds of CPU from an encoded JPEG to an encoded picture, least of 8 to 40 runs on one thread of a busy AMD EPYC
(scikit-image's coffee, enlarged; `time.thread_time` around `encode(draw(…))`):

    photo          5 classes   10 objects   100 objects   300 objects   10 objects as PNG
    640 x 480          7            7            14            17              27
    1920 x 1440       42           42            56            67             193
    4032 x 3024      190          179           225           239             729

And with masks: star-shaped ones, under the heading the sum of their shares of the picture; least of 5 to 15 runs on a
machine with three times as many jobs as cores, where the bare photo takes 4, 40 and 168:

    photo          10 objects, 0.5   100 objects, 1.5   300 objects, 0.8   5 classes, all
    640 x 480            17                 66                110               19
    1920 x 1440          94                284                282              117
    4032 x 3024         389                979                768              430

At 4032 x 3024 the 100 masks add 3 MB to the 125 MB at the peak of the bare photo.
"""

# pyright: reportMissingTypeStubs=false

import math
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from typing import Final, Literal

import numpy as np
from PIL import Image

from models.drawing.annotations import Annotation
from models.drawing.areas import draw_areas
from models.drawing.legend import draw_legend
from models.drawing.objects import draw_objects
from models.drawing.palette import INK
from models.drawing.ranking import draw_ranking
from models.imaging.decoding import MAX_BYTES, MAX_PIXELS, DecodedImage, decode, inspect

try:
    import simplejpeg
except ImportError:  # a bare machine: Pillow does it, more slowly
    simplejpeg = None

PictureFormat = Literal["jpeg", "png", "webp"]

MAX_SIDE: Final = 4096
"""Longest side of a picture in pixels: most phones' photos keep all of theirs."""
_LEGIBLE_SIDE: Final = 480
_LEAST_SIDE: Final = 160
_QUALITY: Final = 90
_COMPRESSION: Final = 1


def draw(
    data: bytes,
    annotations: Sequence[Annotation],
    *,
    max_side: int = MAX_SIDE,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Draws predictions on an encoded photo.

    Args:
        data: The photo, in any format of `models.imaging.decoding`.
        annotations: Its predictions, best first; without any the photo is not changed.
        max_side: Longest side of the picture in pixels.
        max_bytes: As for `models.imaging.decoding.decode`.
        max_pixels: As for `models.imaging.decoding.decode`.

    Returns:
        RGB, upright.

    Raises:
        ImageError: The photo cannot be read.
        ValueError: Masks are of another photo.
    """
    height, width = inspect(data, max_bytes=max_bytes, max_pixels=max_pixels).size
    shrink = min(1.0, max_side / max(height, width))
    needed = math.ceil(min(height, width) * shrink) if shrink < 1 else None
    return draw_on(
        decode(data, min_short_side=needed, max_bytes=max_bytes, max_pixels=max_pixels), annotations, max_side=max_side
    )


def draw_on(photo: DecodedImage, annotations: Sequence[Annotation], *, max_side: int = MAX_SIDE) -> Image.Image:
    """Draws predictions on a copy of decoded pixels.

    Args:
        photo: Upright pixels, of any scale of the original.
        annotations: Its predictions, best first; without any the photo is not changed.
        max_side: Longest side of the picture in pixels.

    Returns:
        RGB, of the size described at the top of this module.

    Raises:
        ValueError: Masks are of another photo.
    """
    for size in {annotation.mask.size for annotation in annotations if annotation.mask is not None} - {photo.size}:
        raise ValueError(f"masks of {size} pixels are not those of a photo of {photo.size}")
    image = _resized(Image.fromarray(photo.pixels), photo.size, max_side)
    height, width = image.height, image.width
    letter_size = _letter_size(height, width)
    if min(height, width) < _LEAST_SIDE:
        strip, image = image, Image.new("RGB", (max(width, _LEAST_SIDE), max(height, _LEAST_SIDE)), INK)
        image.paste(strip)
    scale = height / photo.size[0], width / photo.size[1]
    found = [annotation for annotation in annotations if annotation.box is not None]
    areas = [annotation for annotation in annotations if annotation.box is None and annotation.mask is not None]
    ranked = [annotation for annotation in annotations if annotation.box is None and annotation.mask is None]
    if areas:
        _, free = draw_areas(image, areas, scale, max(2, round(letter_size / 7)))
        if not ranked:
            draw_legend(image, areas, letter_size, free)
    if found:
        draw_objects(image, found, scale, letter_size)
    if ranked:
        regions = [replace(one, class_name=f"{one.class_name}, area") for one in areas]  # one legend for both
        draw_ranking(image, [*regions, *ranked], letter_size)
    return image


def encode(image: Image.Image, picture_format: PictureFormat) -> bytes:
    """Encodes a picture as PNG, as WebP, or as JPEG without chroma subsampling, which would blur coloured lines.

    Args:
        image: RGB; for PNG, RGBA as well.
        picture_format: The format.

    Returns:
        The file. It carries nothing of the photo's metadata, such as where it was taken.
    """
    if picture_format == "jpeg" and simplejpeg is not None:
        return simplejpeg.encode_jpeg(np.array(image), _QUALITY, "RGB", "444", fastdct=False)
    file = BytesIO()
    if picture_format == "jpeg":
        image.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    elif picture_format == "webp":
        image.save(file, "WEBP", quality=_QUALITY)
    else:
        image.save(file, "PNG", compress_level=_COMPRESSION)
    return file.getvalue()


def _resized(image: Image.Image, size: tuple[int, int], max_side: int) -> Image.Image:
    """A copy of the photo at the picture's scale; `size` is the original's (height, width)."""
    longest = max(size)
    factor = min(-(-_LEGIBLE_SIDE // longest) if longest < _LEGIBLE_SIDE else 1.0, max_side / longest)
    height, width = (max(1, round(side * factor)) for side in size)
    if (image.width, image.height) == (width, height):
        return image.copy()
    return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)


def _letter_size(height: int, width: int) -> int:
    """Letter size in pixels: about a fiftieth of the picture, legible when the whole picture is viewed."""
    return max(12, round(min(0.019 * math.sqrt(height * width) + 4, max(height, width) / 16)))
