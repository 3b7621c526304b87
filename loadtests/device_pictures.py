"""The pictures that models alone are measured with: a folder's, or made ones of fixed sizes."""

import sys
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from loadtests.photos import LARGE, SMALL, photos
from loadtests.workloads import DETECTION
from models.entries import Task

SIZES: Final = (SMALL, LARGE)
SEED: Final = 20
_MOST: Final = 256


def picture_sets(folder: Path | None, task: Task) -> list[tuple[tuple[int, int] | None, list[bytes]]]:
    """Gives the JPEGs to measure with.

    Args:
        folder: Those of a folder; without one, pictures of each of `SIZES`.
        task: What they are for. The post-processing of detectors and segmenters takes as long as they find things, so
            they get photos.

    Returns:
        Sets of pictures: their (height, width) in pixels, None where they come in several sizes; and the files.
    """
    if folder is None:
        return [(size, _made_pictures(size) if task == "classification" else _photos(size)) for size in SIZES]
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})
    if not paths:
        sys.exit(f"no JPEG in {folder}")
    return [(None, [path.read_bytes() for path in paths[:_MOST]])]


def _photos(size: tuple[int, int]) -> list[bytes]:
    try:
        return photos(size, DETECTION.pictures)
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: install scikit-image, which has photos, or give a folder of them with --images")


def _made_pictures(size: tuple[int, int]) -> list[bytes]:
    return [made_picture(size, SEED + index) for index in range(16)]


def made_picture(size: tuple[int, int], seed: int) -> bytes:
    """Makes a JPEG with detail at every scale, about as heavy as a photo of its size."""
    random = np.random.default_rng(seed)
    height, width = size
    total = np.zeros((height, width, 3))
    for octave in range(2, 8):
        coarse = random.integers(0, 256, (2**octave, 2**octave, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    buffer = BytesIO()
    Image.fromarray((total * (255 / total.max())).astype(np.uint8)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()
