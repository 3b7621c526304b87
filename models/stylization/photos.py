"""Reads photos and style pictures for style transfer, at a limited size."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.imaging.decoding import decode
from models.stylization.stained_glass import stained_glass

STAINED_GLASS: Final = "stained-glass"
"""Name of the style picture that is drawn by code."""


def read_picture(path: Path, long_side: int) -> NDArray[np.uint8]:
    """Reads an image upright, and reduces it to a long side; a smaller one keeps its size.

    Args:
        path: The file, in any format that the stack reads.
        long_side: The longest side in pixels, at least 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ImageError: The bytes are not an image that can be read.
        OSError: The file cannot be read.
    """
    return reduced(decode(path.read_bytes()).pixels, long_side)


def read_style(style: str, long_side: int) -> NDArray[np.uint8]:
    """Reads a style picture, as `read_picture` does, or draws the one that is called `stained-glass`."""
    if style == STAINED_GLASS:
        return stained_glass(long_side)
    return read_picture(Path(style), long_side)


def reduced(pixels: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """Reduces (H, W, 3) uint8 pixels to a long side; smaller ones are returned as they are."""
    scale = long_side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))
