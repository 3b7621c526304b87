"""Decodes encoded images to upright RGB pixels: the only decoder of untrusted image bytes.

Formats: JPEG, PNG, WebP, GIF, BMP, TIFF and PPM, and AVIF and JPEG 2000 where the installed Pillow has their decoders;
of files with several frames or pages, the first. The first bytes decide the format, not the content type of a request.
The size is read from the header, within bounds, and checked before pixels are decoded. All errors are `ImageError`.
ICC profiles are not applied.

Every function is safe to call from several threads at once, and nothing here imports torch.
"""

import struct
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage, EmptyImage, ImageTooLarge, UnreadableImage
from models.imaging import avif, bmp, gif, jpeg, jpeg2000, png, ppm, tiff, webp
from models.imaging.header import StoredHeader
from models.imaging.jpeg_header import JpegHeader
from models.imaging.orientation import turn_upright

MAX_BYTES: Final = 32 * 2**20
MAX_PIXELS: Final = 50_000_000

H = TypeVar("H", bound=StoredHeader)


@dataclass(frozen=True)
class _Format(Generic[H]):
    """A format: the reader of its header and the decoder of its pixels, which does not apply the orientation."""

    read_header: Callable[[bytes], H]
    decode: Callable[[bytes, H], NDArray[np.uint8]]


_FORMATS: Final[Mapping[str, _Format[Any]]] = {
    "jpeg": _Format(jpeg.read_header, jpeg.decode),
    "png": _Format(png.read_header, png.decode),
    "webp": _Format(webp.read_header, webp.decode),
    "gif": _Format(gif.read_header, gif.decode),
    "bmp": _Format(bmp.read_header, bmp.decode),
    "tiff": _Format(tiff.read_header, tiff.decode),
    "ppm": _Format(ppm.read_header, ppm.decode),
    "avif": _Format(avif.read_header, avif.decode),
    "jpeg2000": _Format(jpeg2000.read_header, jpeg2000.decode),
}
FORMATS: Final = tuple(_FORMATS)


@dataclass(frozen=True)
class ImageHeader:
    """The format and size of an image, from its header.

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
        pixels: (H, W, 3) uint8 RGB, C-contiguous; smaller than `size` after a scaled decode. Of a signal, which
            `models.signals.decoding` decodes, (1, length) float32.
        size: (height, width) in pixels of the upright original at full resolution; of a signal (1, length).
    """

    pixels: NDArray[Any]
    size: tuple[int, int]


def inspect(data: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Reads format and size from the header, in microseconds for a real photo, and decodes nothing.

    What is read of a header is bounded: the worst file of 32 MiB takes tens of milliseconds of one CPU core.

    Args:
        data: The encoded image.
        max_bytes: The most bytes that are accepted.
        max_pixels: The most pixels (height x width) that are accepted.

    Returns:
        The header.

    Raises:
        EmptyImage: There are no bytes.
        UnreadableImage: The bytes are in none of `FORMATS`, or in a variant that is not supported.
        BrokenImage: The header is truncated or corrupt.
        ImageTooLarge: The bytes or the pixels are more than the caps, or the header has more parts than are read.
    """
    image_format = _format_of(data, max_bytes)
    with _translated(image_format):
        size = _FORMATS[image_format].read_header(data).size
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
    reader = _FORMATS[image_format]
    with _translated(image_format):
        header = reader.read_header(data)
        _check_pixels(header.size, max_pixels)
        if isinstance(header, JpegHeader):
            pixels = jpeg.decode(data, header, min_short_side)
        else:
            pixels = reader.decode(data, header)
    return DecodedImage(turn_upright(pixels, header.orientation), header.size)


def scale_factor(header: ImageHeader, min_short_side: int) -> int:
    """Returns 1, 2, 4 or 8: the factor by which `decode` shrinks the sides of an image.

    Args:
        header: Of the image.
        min_short_side: As for `decode`.
    """
    return jpeg.scale_factor(min(header.size), min_short_side) if header.format == "jpeg" else 1


@contextmanager
def _translated(image_format: str) -> Generator[None]:
    """Translates the exceptions of readers where a file is truncated or an offset lies outside of it."""
    try:
        yield
    except (struct.error, IndexError, OverflowError, ValueError) as error:
        raise BrokenImage(f"the {image_format.upper()} is truncated or corrupt") from error
    except MemoryError as error:
        raise ImageTooLarge(f"the {image_format.upper()} takes too much memory") from error


def _format_of(data: bytes, max_bytes: int) -> str:
    if not data:
        raise EmptyImage("the image is empty")
    if len(data) > max_bytes:
        raise ImageTooLarge(
            f"the image has {len(data)} bytes; at most {max_bytes} are accepted",
            {"bytes": len(data), "max_bytes": max_bytes},
        )
    found = _sniffed(data)
    if found is None and (name := _named(data)) is not None:
        raise UnreadableImage(f"{name} images cannot be read; send {', '.join(FORMATS)}", {"formats": list(FORMATS)})
    if found is None:
        raise UnreadableImage(f"not an image that can be read; send {', '.join(FORMATS)}", {"formats": list(FORMATS)})
    return found


def _sniffed(data: bytes) -> str | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(png.SIGNATURE):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"BM"):
        return "bmp"
    if data.startswith(tiff.SIGNATURES):
        return "tiff"
    if data.startswith(ppm.SIGNATURES):
        return "ppm"
    if data.startswith((jpeg2000.SIGNATURE, jpeg2000.CODESTREAM)):
        return "jpeg2000"
    if avif.is_avif(data):
        return "avif"
    return None


def _named(data: bytes) -> str | None:
    """Names common formats that are not supported."""
    if avif.is_heic(data):
        return "HEIC"
    if data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return "JPEG XL"
    return None


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    height, width = size
    if height * width > max_pixels:
        raise ImageTooLarge(
            f"the image has {height} x {width} pixels; at most {max_pixels} are accepted",
            {"height": height, "width": width, "max_pixels": max_pixels},
        )
