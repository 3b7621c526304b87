"""The photos that style networks learn from and are measured with: which are held out, and crops of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from models.datasets.samples import DatasetError
from models.errors import ImageError
from models.imaging.decoding import decode

HELD_OUT: Final = 16
"""Photos that are held out, the last ones by name."""
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_SHORT_SIDES: Final = (1.0, 2.5)
"""Short side of a photo before it is cropped, as a multiple of the crop: from whole photos to parts of large ones."""


def split_photos(folder: Path) -> tuple[list[Path], list[Path]]:
    """Lists the photos of a folder and its subfolders by name: those to learn from, and the `HELD_OUT` last ones.

    Raises:
        DatasetError: It has fewer than twice as many as are held out.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if len(found) < 2 * HELD_OUT:
        raise DatasetError(f"{folder}: {len(found)} photos, but {2 * HELD_OUT} are needed: JPEG, PNG or WebP")
    return found[:-HELD_OUT], found[-HELD_OUT:]


def cropped(path: Path, side: int, random: np.random.Generator | None = None) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Reads a photo and crops a square.

    Args:
        path: The file.
        side: Of the crop in pixels.
        random: Scale, place and mirroring; None crops the centre at the scale where it fits.

    Returns:
        (side, side, 3) uint8 RGB.

    Raises:
        DatasetError: The photo cannot be read.
    """
    least = side if random is None else round(side * random.uniform(*_SHORT_SIDES))
    try:
        pixels = decode(path.read_bytes(), min_short_side=least).pixels
    except (OSError, ImageError) as error:
        raise DatasetError(f"{path}: {error}") from None
    scale = least / min(pixels.shape[:2])
    height, width = (max(side, round(length * scale)) for length in pixels.shape[:2])
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    if random is None:
        top, left = (height - side) // 2, (width - side) // 2
        return resized[top : top + side, left : left + side]
    top, left = random.integers(height - side + 1), random.integers(width - side + 1)
    crop = resized[top : top + side, left : left + side]
    return crop[:, ::-1] if random.random() < 0.5 else crop
