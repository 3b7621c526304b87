"""Keeps the decoded photos of a data set at hand."""

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models import images
from models.errors import ImageError
from models.training.coco import DatasetError, Photo

_CACHE_BYTES: Final = 4 * 2**30


class PhotoReader:
    """Decodes photos, and keeps as many as there is room for.

    Args:
        photos: All that may be asked for.
        longest_side: Photos are kept at no more than twice this many pixels a side, where the file allows it cheaply.
        cache_bytes: Room for decoded pixels.
    """

    def __init__(self, photos: Sequence[Photo], longest_side: int, cache_bytes: int = _CACHE_BYTES) -> None:
        self._photos = photos
        self._longest_side = longest_side
        self._room = cache_bytes
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._photos)

    def read(self, index: int) -> tuple[Photo, NDArray[np.uint8]]:
        """Gives a photo.

        Args:
            index: Of the photo.

        Returns:
            The photo and its pixels, (H, W, 3) uint8 RGB, upright; perhaps smaller than its file says, in proportion.

        Raises:
            DatasetError: Its file is not an image, or lies the other way than the annotations say.
        """
        photo = self._photos[index]
        pixels = self._kept.get(index)
        if pixels is None:
            pixels = self._decode(photo)
            with self._lock:
                if pixels.nbytes <= self._room:
                    self._room -= pixels.nbytes
                    self._kept[index] = pixels
        return photo, pixels

    def _decode(self, photo: Photo) -> NDArray[np.uint8]:
        try:
            image = images.decode(photo.path.read_bytes(), min_short_side=self._longest_side)
        except (OSError, ImageError) as error:
            raise DatasetError(f"{photo.path}: {error}") from None
        if image.size != photo.size:
            raise DatasetError(f"{photo.path}: is {image.size}, but its annotation says {photo.size} (height, width)")
        return image.pixels
