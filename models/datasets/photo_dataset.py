"""Annotated photos: the data set of detectors and segmenters in training."""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.datasets.object_masks import ObjectMasks
from models.entries.skeletons import Skeleton


class DatasetError(ValueError):
    """A data set that cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True, eq=False)
class Photo:
    """One annotated image.

    Attributes:
        path: The image file.
        image_id: Its id in the annotation file.
        size: (height, width) in pixels, as the annotation file has it.
        boxes: (N, 4) float32, x_min, y_min, x_max, y_max in pixels.
        class_ids: (N,) int64, indices into the data set's `class_names`.
        crowds: (M, 4) float32, regions that hold objects which are not annotated one by one.
        masks: Of the objects; None where they have boxes only.
        key_points: (N, K, 3) float64 of the objects, see `models.datasets.object_table.ObjectTable`; None where they
            were not read.
    """

    path: Path
    image_id: int
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    crowds: NDArray[np.float32]
    masks: ObjectMasks | None = None
    key_points: NDArray[np.float64] | None = None

    def check_size(self, size: tuple[int, int]) -> None:
        """Holds the image file to its annotation.

        Args:
            size: (height, width) of the upright image in pixels.

        Raises:
            DatasetError: The annotation says otherwise.
        """
        if size != self.size:
            raise DatasetError(f"{self.path}: is {size}, but its annotation says {self.size} (height, width)")


@dataclass(frozen=True)
class PhotoDataset:
    """Photos with boxes, and perhaps masks, of one data set or of several.

    Attributes:
        name: Folder and split, for people.
        photos: In the order of the labels.
        class_names: One for every class id.
        category_ids: The data set's own number of every class id.
        skeleton: Of the objects' key points; None where they were not read.
    """

    name: str
    photos: tuple[Photo, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    skeleton: Skeleton | None = None

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with any photo's name, boxes or classes, and with which have masks."""
        digest = sha256(repr(self.class_names).encode())
        for photo in self.photos:
            digest.update(photo.path.name.encode())
            for array in (photo.boxes, photo.class_ids, photo.crowds):
                digest.update(array.tobytes())
            digest.update(b"" if photo.masks is None else b"masks")
            digest.update(b"" if photo.key_points is None else photo.key_points.tobytes())
        return digest.hexdigest()[:16]

    def with_masks(self) -> "PhotoDataset":
        """Leaves out the photos that have no masks.

        Raises:
            DatasetError: No object is left.
        """
        photos = tuple(photo for photo in self.photos if photo.masks is not None)
        if not any(len(photo.boxes) for photo in photos):
            raise DatasetError(f"{self.name}: no object has a mask")
        return replace(self, photos=photos)
