"""Keeps the decoded photos of a data set at hand."""

import math
import threading
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.object_masks import UNKNOWN, IdMap
from models.datasets.photo_dataset import DatasetError, Photo
from models.errors import ImageError
from models.imaging import decoding

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
        self._kept_ids: dict[int, IdMap] = {}
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

    def read_ids(self, index: int) -> IdMap:
        """Gives the id map of a photo, of the size that its annotation has.

        Where there are boxes only, what lies within them is unknown.

        Args:
            index: Of the photo.

        Raises:
            DatasetError: It cannot be read, or is of another size.
        """
        photo, ids = self._photos[index], self._kept_ids.get(index)
        if ids is None:
            ids = _id_map(photo)
            with self._lock:
                if ids.nbytes <= self._room:
                    self._room -= ids.nbytes
                    self._kept_ids[index] = ids
        return ids

    def _decode(self, photo: Photo) -> NDArray[np.uint8]:
        try:
            image = decoding.decode(photo.path.read_bytes(), min_short_side=self._longest_side)
        except (OSError, ImageError) as error:
            raise DatasetError(f"{photo.path}: {error}") from None
        photo.check_size(image.size)
        return image.pixels


def _id_map(photo: Photo) -> IdMap:
    if photo.masks is None:
        ids = np.zeros(photo.size, np.uint16)
        for x_min, y_min, x_max, y_max in np.concatenate([photo.boxes, photo.crowds]).tolist():
            ids[int(y_min) : math.ceil(y_max), int(x_min) : math.ceil(x_max)] = UNKNOWN
        return ids
    try:
        ids = photo.masks.id_map()
    except (OSError, ValueError) as error:
        raise DatasetError(f"{photo.path}: no masks: {error}") from None
    if ids.shape != photo.size:
        raise DatasetError(f"{photo.path}: its masks are {ids.shape}, and it is {photo.size} (height, width)")
    return ids
