"""Reads the images that a generator learns from, or is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.folders import LabelledImage
from models.datasets.samples import DatasetError
from models.entries import Preprocessing
from models.errors import ImageError
from models.generation.networks import SIDE
from models.imaging import decoding
from models.imaging.crop import resize_and_crop

_FIT: Final = Preprocessing(SIDE, SIDE, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Resize and crop; the normalisation has no effect here."""


@dataclass(frozen=True)
class Examples:
    """Images to learn from.

    Attributes:
        images: (N, 28, 28) uint8, grey.
        class_ids: (N,) int64.
    """

    images: NDArray[np.uint8]
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.images)


def read_examples(labelled: Sequence[LabelledImage]) -> Examples:
    """Reads images as grey ones of 28 x 28 pixels: the short side is resized, and the centred square kept.

    Raises:
        DatasetError: A file is not an image that can be read.
    """
    images = [_grey(image) for image in labelled]
    return Examples(np.stack(images), np.array([image.class_id for image in labelled], np.int64))


def _grey(image: LabelledImage) -> Any:
    try:
        pixels = decoding.decode(image.path.read_bytes()).pixels
    except (OSError, ImageError) as error:
        raise DatasetError(f"{image.path}: {error}") from None
    return resize_and_crop(pixels, _FIT).mean(2).round().astype(np.uint8)
