"""Lists the images of folders, and decodes those that have a class."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.photo_dataset import DatasetError
from models.errors import ImageError
from models.imaging import decoding
from models.imaging.file_names import SUFFIXES

_CACHE_BYTES: Final = 4 * 2**30


@dataclass(frozen=True)
class LabelledImage:
    """An image file and what it shows.

    Attributes:
        path: The file.
        class_id: Index into the data set's `class_names`.
    """

    path: Path
    class_id: int


class ImageReader:
    """Decodes images, and keeps as many as there is room for.

    Args:
        labelled: All that may be asked for.
        size: Pixels that are needed along the short side; a JPEG is decoded at a lower scale where twice that is left.
        cache_bytes: Room for decoded pixels.
    """

    def __init__(self, labelled: Sequence[LabelledImage], size: int, cache_bytes: int = _CACHE_BYTES) -> None:
        self._labelled = labelled
        self._size = size
        self._room = cache_bytes
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def read(self, index: int) -> NDArray[np.uint8]:
        """Gives the pixels of an image, (H, W, 3) uint8 RGB, upright.

        Raises:
            DatasetError: Its file is not an image that can be read.
        """
        pixels = self._kept.get(index)
        if pixels is None:
            path = self._labelled[index].path
            try:
                pixels = decoding.decode(path.read_bytes(), min_short_side=2 * self._size).pixels
            except (OSError, ImageError) as error:
                raise DatasetError(f"{path}: {error}") from None
            with self._lock:
                if pixels.nbytes <= self._room:
                    self._room -= pixels.nbytes
                    self._kept[index] = pixels
        return pixels


def _folders(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))


def class_folders(folder: Path) -> tuple[str, ...]:
    """Names the folders below one that hold images, in alphabetical order."""
    return tuple(path.name for path in _folders(folder) if any(image_files(path)))


def image_files(folder: Path) -> Iterator[Path]:
    """Lists the images in a folder and those below it, in alphabetical order; what is hidden is left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
            yield path


def labelled_images(folder: Path, class_names: Sequence[str]) -> tuple[LabelledImage, ...]:
    """Lists the images in the folders of some classes, class by class."""
    return tuple(
        LabelledImage(path, class_id)
        for class_id, name in enumerate(class_names)
        for path in image_files(folder / name)
    )
