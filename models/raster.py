"""Every format but the common JPEG, by Pillow, whose many ways of failing are translated here and nowhere else."""

from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from models.errors import BrokenImage, ImageError, ImageTooLarge, UnreadableImage
from models.orientation import (
    UPRIGHT,
    exif_orientation,
    png_orientation,
    turn_upright,
    upright_size,
)

_EIGHT_BIT_MODES = frozenset({"1", "L", "P", "PA", "LA", "La", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr"})
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


@contextmanager
def opened(data: bytes, image_format: str) -> Generator[Image.Image]:
    """Opens an image as one format and no other, and translates what Pillow raises inside the block.

    Args:
        data: The encoded image.
        image_format: The format that its first bytes promise, as in `models.images.FORMATS`.

    Yields:
        The image, its header read and its pixels not.

    Raises:
        ImageTooLarge: Pillow's own guard against decompression bombs tripped.
        BrokenImage: Anything else went wrong.
    """
    name = image_format.upper()
    try:
        with Image.open(BytesIO(data), formats=(name,)) as image:
            yield image
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as error:
        raise ImageTooLarge(f"the {name} has too many pixels") from error
    except UnidentifiedImageError as error:
        raise BrokenImage(f"the {name} header is truncated or corrupt") from error
    except Exception as error:  # on hostile bytes Pillow's plug-ins raise nearly every built-in exception
        raise BrokenImage(f"the {name} is truncated or corrupt") from error


def size_of(image: Image.Image, data: bytes) -> tuple[int, int]:
    """Tells the upright size of an opened image.

    Args:
        image: From `opened`.
        data: The bytes that it was opened from.

    Returns:
        (height, width) in pixels.
    """
    return upright_size((image.height, image.width), _orientation(image, data))


def upright_rgb(image: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """Decodes an opened image to upright RGB.

    Args:
        image: From `opened`.
        data: The bytes that it was opened from.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        UnreadableImage: The colour mode has no agreed way to RGB (such as LAB).
    """
    return turn_upright(rgb(image), _orientation(image, data))


def rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Decodes an opened image to RGB as stored; transparency is composited on white.

    Args:
        image: From `opened`.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        UnreadableImage: The colour mode has no agreed way to RGB (such as LAB).
    """
    if image.mode in _DEEP_MODES:
        grey = _eight_bit(np.asarray(image))
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if image.mode not in _EIGHT_BIT_MODES:
        raise UnreadableImage(f"images of colour mode {image.mode} cannot be read")
    image.load()
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.array(image.convert("RGB"))


def _orientation(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG":
        return png_orientation(data)
    if image.format == "TIFF":
        return UPRIGHT  # Pillow turns TIFFs itself, their size too
    return exif_orientation(image.info.get("exif", b""))


def _eight_bit(samples: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scales deep grey samples to 8 bits.

    Args:
        samples: (H, W), uint16, int32 or float32. 16-bit samples span 0 to 65535. The span of the others is not
            declared, so it is guessed by their greatest value: to 1, to 255, to 65535, or else from least to greatest.

    Returns:
        (H, W) uint8; samples that are not a number become 0.
    """
    if samples.dtype.kind == "u" and samples.dtype.itemsize == 2:
        return np.rint(samples.astype(np.float32) / 257).astype(np.uint8)
    values = np.nan_to_num(samples.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    ceiling = next((limit for limit in (1.0, 255.0, 65535.0) if high <= limit), None)
    if samples.dtype.kind != "f" and ceiling == 1.0:
        ceiling = 255.0
    if low < 0 or ceiling is None:
        values, ceiling = values - low, max(high - low, np.finfo(np.float64).tiny)
    return np.rint(values * (255 / ceiling)).astype(np.uint8)
