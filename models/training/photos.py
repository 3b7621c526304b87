"""A cache of decoded training images, bounded in bytes."""

import math
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.datasets.folders import LabelledImage
from models.datasets.object_masks import UNKNOWN, IdMap
from models.datasets.packed_images import ImageFile
from models.datasets.photo_dataset import DatasetError, Photo
from models.errors import ImageError
from models.imaging import decoding

_CACHE_BYTES: Final = 4 * 2**30

Array = TypeVar("Array", bound=NDArray[Any])


class _Cache:
    """Keeps arrays, as many as there is room for.

    Args:
        room_bytes: For all of them.
    """

    def __init__(self, room_bytes: int) -> None:
        self._room = room_bytes
        self._kept: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Array]) -> Array:
        array: Array | None = self._kept.get(key)
        if array is None:
            array = make()
            with self._lock:
                if key not in self._kept and array.nbytes <= self._room:
                    self._room -= array.nbytes
                    self._kept[key] = array
        return array


class ImageReader:
    """Decodes images that show one class each, and keeps as many as there is room for.

    Args:
        labelled: All that may be asked for.
        size: Pixels that are needed along the short side; a JPEG is decoded at a lower scale where twice that is left.
        cache_bytes: Room for decoded pixels.
    """

    def __init__(self, labelled: Sequence[LabelledImage], size: int, cache_bytes: int = _CACHE_BYTES) -> None:
        self._labelled = labelled
        self._size = size
        self._cache = _Cache(cache_bytes)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Gives the pixels of an image, (H, W, 3) uint8 RGB, upright.

        Raises:
            DatasetError: Its file is not an image that can be read.
        """
        path = self._labelled[index].path
        return self._cache.get(path, lambda: _decoded(path, 2 * self._size).pixels)


class PhotoReader:
    """Decodes photos, and keeps as many as there is room for.

    Args:
        photos: All that may be asked for.
        longest_side: Photos are kept at no more than twice this many pixels a side, where the file allows it cheaply.
        cache_bytes: Room for decoded pixels and id maps.
    """

    def __init__(self, photos: Sequence[Photo], longest_side: int, cache_bytes: int = _CACHE_BYTES) -> None:
        self._photos = photos
        self._longest_side = longest_side
        self._cache = _Cache(cache_bytes)

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
        return photo, self._cache.get(index, lambda: self._pixels(photo))

    def read_ids(self, index: int) -> IdMap:
        """Gives the id map of a photo, of the size that its annotation has.

        Where there are boxes only, what lies within them is unknown.

        Args:
            index: Of the photo.

        Raises:
            DatasetError: It cannot be read, or is of another size.
        """
        return self._cache.get(("ids", index), lambda: _id_map(self._photos[index]))

    def _pixels(self, photo: Photo) -> NDArray[np.uint8]:
        image = _decoded(photo.path, self._longest_side)
        photo.check_size(image.size)
        return image.pixels


def _decoded(path: ImageFile, short_side: int) -> decoding.DecodedImage:
    try:
        return decoding.decode(path.read_bytes(), min_short_side=short_side)
    except (OSError, ImageError) as error:
        raise DatasetError(f"{path}: {error}") from None


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
