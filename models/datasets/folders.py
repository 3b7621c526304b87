"""Reads data sets that are folders by class, for training classifiers.

Either `FOLDER/train/CLASS/*` and `FOLDER/val/CLASS/*`, or `FOLDER/CLASS/*`, of which a share is held out.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.data_folder import DataFolder
from models.datasets.photo_dataset import DatasetError
from models.errors import ImageError
from models.imaging import decoding
from models.imaging.file_names import SUFFIXES

_SPLITS: Final = ("train", "val")
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


@dataclass(frozen=True)
class ClassFolders:
    """Images by class.

    Attributes:
        name: Of the folder, for people.
        class_names: The names of the class folders, in alphabetical order; at least two.
        train: To learn from; every class has some.
        val: Held out; at least one image, but perhaps not of every class.
        fingerprint: Changes with any file's place or class.
    """

    name: str
    class_names: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    val: tuple[LabelledImage, ...]
    fingerprint: str


def read_class_folders(folder: Path, val_share: float, seed: int, allow_outside: bool = False) -> ClassFolders:
    """Lists the images of a data set; what is hidden or no image file is left out.

    Args:
        folder: The data set. Folders within those of the classes belong to the class.
        val_share: Where the folder has no `train` and `val`: the share of each class that is held out, 0 to 1, of two
            images or more at least one.
        seed: Of the choice of those.
        allow_outside: Whether images may be links to files outside the folder.

    Returns:
        The images, by class and name.

    Raises:
        DatasetError: There is no such folder, or it has fewer than two classes, or one that has no images to learn
            from, or nothing to hold out; the message names the folder.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    train, val = (folder / split for split in _SPLITS)
    if train.is_dir() and val.is_dir():
        class_names = class_folders(train)
        unknown = [name for name in class_folders(val) if name not in class_names]
        if unknown:
            raise DatasetError(f"{val / unknown[0]}: no images of this class in {train}")
        learned, held_out = (labelled_images(split, class_names) for split in (train, val))
    elif train.is_dir() and any(_folders(train)):
        raise DatasetError(f"{val}: no such folder, but there is {train}")
    else:
        class_names = class_folders(folder)
        learned, held_out = _split(labelled_images(folder, class_names), val_share, seed)
    _check(folder, class_names, learned, held_out)
    data = DataFolder(folder, allow_outside=allow_outside)
    data.checked(image.path for image in (*learned, *held_out))
    return ClassFolders(folder.resolve().name, class_names, learned, held_out, _fingerprint(folder, learned, held_out))


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


def _split(
    labelled: Sequence[LabelledImage], val_share: float, seed: int
) -> tuple[tuple[LabelledImage, ...], tuple[LabelledImage, ...]]:
    """Holds out a share of every class, but never all of it."""
    held_out: set[LabelledImage] = set()
    for class_id in sorted({image.class_id for image in labelled}):
        own = [image for image in labelled if image.class_id == class_id]
        count = min(len(own) - 1, max(1, round(val_share * len(own))))
        order: list[int] = np.random.default_rng((seed, class_id)).permutation(len(own)).tolist()
        held_out |= {own[index] for index in order[:count]}
    learned = tuple(image for image in labelled if image not in held_out)
    return learned, tuple(image for image in labelled if image in held_out)


def _check(
    folder: Path,
    class_names: Sequence[str],
    learned: Sequence[LabelledImage],
    held_out: Sequence[LabelledImage],
) -> None:
    if len(class_names) < 2:
        found = f"only images of {class_names[0]!r}" if class_names else "no folders with images"
        raise DatasetError(f"{folder}: {found}; a classifier needs a folder of images for each of two classes or more")
    if not held_out:
        raise DatasetError(f"{folder}: nothing to hold out; some class needs two images or more")
    if len(learned) < 2:
        raise DatasetError(f"{folder}: too few images to learn from")


def _fingerprint(folder: Path, *splits: tuple[LabelledImage, ...]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(b"\n\n")
        for image in split:
            line = f"{image.path.relative_to(folder).as_posix()}\n{image.class_id}\n"
            digest.update(line.encode(errors="replace"))
    return digest.hexdigest()[:12]
