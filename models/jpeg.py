"""JPEG to pixels: `simplejpeg` (libjpeg-turbo) where it is installed, Pillow for the rest and in its absence.

Scaled decoding uses the factors 1/2, 1/4 and 1/8 only: the others (n/8) have no vector code in libjpeg-turbo and take
longer than a full decode (640 x 480: 1.18 ms at 5/8, 0.81 ms in full). The fast cosine transform and fast upsampling of
libjpeg-turbo are left off: they gain 5 % and cost accuracy.
"""

# pyright: reportMissingTypeStubs=false

import numpy as np
from numpy.typing import NDArray

from models import raster
from models.errors import BrokenImage

try:
    import simplejpeg
except ImportError:  # a bare machine: Pillow does everything, more slowly
    simplejpeg = None

_HARMLESS = "extraneous bytes before marker"
"""The one libjpeg warning with which an image is still whole: some cameras pad their files."""


def stored_size(data: bytes) -> tuple[int, int]:
    """Reads the size from the header.

    Args:
        data: The JPEG.

    Returns:
        (height, width) as stored, before orientation.

    Raises:
        BrokenImage: There is no whole header.
    """
    if simplejpeg is not None:
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
            return int(height), int(width)
        except (ValueError, KeyError):
            pass  # a colour space unknown to it: Pillow decides
    with raster.opened(data, "jpeg") as image:
        return image.height, image.width


def decode(data: bytes, size: tuple[int, int], min_short_side: int | None) -> NDArray[np.uint8]:
    """Decodes to RGB, without regard to orientation.

    Args:
        data: The JPEG.
        size: Its `stored_size`.
        min_short_side: As for `models.images.decode`.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The data is truncated or corrupt.
    """
    factor = _scale_factor(min(size), min_short_side)
    if simplejpeg is None:
        return _decode_with_pillow(data, size, factor)
    try:
        return simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_height=-(-size[0] // factor),
            min_width=-(-size[1] // factor),
            min_factor=factor,
        )
    except (ValueError, KeyError) as error:
        if _is_four_channel(data) or _HARMLESS in str(error):
            return _decode_with_pillow(data, size, factor)
        raise BrokenImage("the JPEG is truncated or corrupt") from error


def _scale_factor(short_side: int, min_short_side: int | None) -> int:
    if min_short_side is None:
        return 1
    return next((factor for factor in (8, 4, 2) if short_side // factor >= min_short_side), 1)


def _is_four_channel(data: bytes) -> bool:
    """Tells CMYK and YCCK, which TurboJPEG does not turn into RGB."""
    with raster.opened(data, "jpeg") as image:
        return image.mode == "CMYK"


def _decode_with_pillow(data: bytes, size: tuple[int, int], factor: int) -> NDArray[np.uint8]:
    with raster.opened(data, "jpeg") as image:
        if factor > 1:
            image.draft(None, (size[1] // factor, size[0] // factor))
        return raster.rgb(image)
