"""Pictures for tests: scikit-image's photos (CC0 or public domain) and small drawn ones, encoded in any way."""

from io import BytesIO
from typing import Any

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def photo(name: str) -> Image.Image:
    """Gives one of scikit-image's photos: astronaut, chelsea (a cat), coffee or rocket."""
    return Image.fromarray(getattr(skimage.data, name)())


def quadrants(height: int = 40, width: int = 60) -> Image.Image:
    """Draws red and green above blue and white, so that every way of turning it looks different."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    pixels[height // 2 :, width // 2 :] = WHITE
    return Image.fromarray(pixels)


def corners(pixels: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """Reads the colours of a picture's quadrants: top left, top right, bottom left, bottom right."""
    height, width = pixels.shape[:2]
    return [
        tuple(int(channel) for channel in pixels[row, column])
        for row in (height // 4, 3 * height // 4)
        for column in (width // 4, 3 * width // 4)
    ]


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    """Encodes a picture."""
    buffer = BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def exif_with_orientation(orientation: int) -> Image.Exif:
    """Makes an EXIF block that holds only an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif
