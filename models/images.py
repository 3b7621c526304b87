"""Encoded image bytes to upright RGB pixels: the only door through which strangers' bytes come in.

Formats: JPEG, PNG, WebP, GIF, BMP and TIFF, the first frame or page of those that hold several. The format is told by
its first bytes, never by a declared content type. Sizes are read from the header and capped before anything is decoded.
Whatever is wrong with the bytes ends in an `ImageError`. ICC profiles are not applied: the networks were not trained
with them applied either.

Every function is safe to call from several threads at once, and nothing here imports torch.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models import jpeg, raster
from models.errors import EmptyImage, ImageTooLarge, UnreadableImage
from models.orientation import jpeg_orientation, turn_upright, upright_size

MAX_BYTES: Final = 32 * 2**20
MAX_PIXELS: Final = 50_000_000
FORMATS: Final = ("jpeg", "png", "webp", "gif", "bmp", "tiff")


@dataclass(frozen=True)
class ImageHeader:
    """What an image says of itself before it is decoded.

    Attributes:
        format: One of `FORMATS`.
        size: (height, width) in pixels, after EXIF orientation.
    """

    format: str
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """Upright pixels.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, C-contiguous; smaller than `size` where a scaled decode was asked for.
        size: (height, width) in pixels of the upright original at full resolution.
    """

    pixels: NDArray[np.uint8]
    size: tuple[int, int]


def inspect(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Reads format and size from the header, in microseconds for a JPEG, and decodes nothing.

    Args:
        data: The encoded image.
        max_bytes: The most bytes that are accepted.
        max_pixels: The most pixels (height x width) that are accepted.

    Returns:
        The header.

    Raises:
        EmptyImage: There are no bytes.
        UnreadableImage: The bytes are not one of `FORMATS`.
        BrokenImage: The header is truncated or corrupt.
        ImageTooLarge: The bytes or the pixels are more than the caps.
    """
    image_format = _format_of(data, max_bytes)
    if image_format == "jpeg":
        size = upright_size(jpeg.stored_size(data), jpeg_orientation(data))
    else:
        with raster.opened(data, image_format) as image:
            size = raster.size_of(image, data)
    _check_pixels(size, max_pixels)
    return ImageHeader(image_format, size)


def decode(
    data: bytes,
    *,
    min_short_side: int | None = None,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> DecodedImage:
    """Decodes an image to upright RGB.

    Transparency is composited on white; 16-bit samples are scaled to 8; grey becomes R = G = B; CMYK and YCCK are
    converted with the plain formula.

    Args:
        data: The encoded image.
        min_short_side: Lets a JPEG be decoded at 1/2, 1/4 or 1/8 (in its cosine transform, which is much faster), as
            long as the short side stays at least this many pixels. The other formats ignore it.
        max_bytes: The most bytes that are accepted.
        max_pixels: The most pixels (height x width) that are accepted.

    Returns:
        The pixels and the size of the original.

    Raises:
        ImageError: As `inspect`; also `BrokenImage` where the pixels are truncated or corrupt.
    """
    image_format = _format_of(data, max_bytes)
    if image_format == "jpeg":
        stored = jpeg.stored_size(data)
        orientation = jpeg_orientation(data)
        size = upright_size(stored, orientation)
        _check_pixels(size, max_pixels)
        pixels = jpeg.decode(data, stored, min_short_side)
        return DecodedImage(turn_upright(pixels, orientation), size)
    with raster.opened(data, image_format) as image:
        size = raster.size_of(image, data)
        _check_pixels(size, max_pixels)
        return DecodedImage(raster.upright_rgb(image, data), size)


def _format_of(data: bytes, max_bytes: int) -> str:
    if not data:
        raise EmptyImage("the image is empty")
    if len(data) > max_bytes:
        raise ImageTooLarge(
            f"the image has {len(data)} bytes; at most {max_bytes} are accepted",
            {"bytes": len(data), "max_bytes": max_bytes},
        )
    found = _sniffed(data)
    if found is None:
        raise UnreadableImage(f"not an image that can be read; send {', '.join(FORMATS)}", {"formats": list(FORMATS)})
    return found


def _sniffed(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"BM"):
        return "bmp"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    return None


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    height, width = size
    if height * width > max_pixels:
        raise ImageTooLarge(
            f"the image has {height} x {width} pixels; at most {max_pixels} are accepted",
            {"height": height, "width": width, "max_pixels": max_pixels},
        )
