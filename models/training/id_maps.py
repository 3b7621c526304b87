"""Reads data sets whose masks are pictures of numbers, for training and evaluation.

A folder holds `train/images` and `train/labels`, and the same for `val`; or `images` and `labels`, which are all
training. A label is a PNG of the image's name, of 8 or 16 bits. Its pixels are numbers of objects, 0 where there is
none; or, where the folder has a file `classes.txt` with a name on every line, ids of classes: the first line is the
background, and 255 is what nobody knows, as in Pascal VOC.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.data_folder import DataFolder
from models.datasets.object_masks import NumberedPicture, read_numbers
from models.datasets.photo_dataset import DatasetError, Photo, PhotoDataset
from models.errors import ImageError
from models.imaging import decoding

_CLASSES: Final = "classes.txt"
_UNKNOWN: Final = 255


def is_id_maps(folder: Path) -> bool:
    """Tells whether a folder holds such a data set."""
    return any((folder / part / "labels").is_dir() for part in ("", "train"))


def read_id_maps(
    folder: Path, split: str, class_name: str = "object", limit: int | None = None, allow_outside: bool = False
) -> PhotoDataset:
    """Reads a split.

    Args:
        folder: The data set.
        split: `train` or `val`; a folder without either is all `train`.
        class_name: What the objects are called, where there is no `classes.txt`.
        limit: Read so many photos, from the first in alphabetical order.
        allow_outside: Whether photos and labels may be links to files outside the folder.

    Returns:
        The data set, with a mask for every object. Where pixels are classes, a class is one object of a photo.

    Raises:
        DatasetError: There is no such split, or a label is missing, unreadable, of another size than its image, or has
            numbers that are no classes.
    """
    root = folder if split == "train" and (folder / "labels").is_dir() else folder / split
    paths = sorted(path for path in (root / "images").glob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise DatasetError(f"{root / 'images'}: no photos")
    names = _class_names(folder)
    labels = {path.stem: path for path in (root / "labels").glob("*") if path.suffix.lower() == ".png"}
    DataFolder(folder, allow_outside=allow_outside).checked([*paths, *labels.values()])
    photos = tuple(_photo(path, labels, number, names) for number, path in enumerate(paths[:limit]))
    kinds = names[1:] if names else (class_name,)
    return PhotoDataset(f"{folder.name}/{split}", root, photos, kinds, tuple(range(1, len(kinds) + 1)))


def _class_names(folder: Path) -> tuple[str, ...]:
    """The lines of `classes.txt`; none where pixels are numbers of objects."""
    path = folder / _CLASSES
    if not path.is_file():
        return ()
    names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if not 2 <= len(names) <= _UNKNOWN:
        raise DatasetError(f"{path}: {len(names)} names: there must be from 2 to {_UNKNOWN}, the background first")
    return names


def _photo(path: Path, labels: Mapping[str, Path], number: int, names: tuple[str, ...]) -> Photo:
    if path.stem not in labels:
        raise DatasetError(f"{path}: there is no label {path.stem}.png")
    label = labels[path.stem]
    try:
        picture, size = read_numbers(label), decoding.inspect(path.read_bytes()).size
    except (OSError, ValueError, ImageError) as error:
        raise DatasetError(f"{label}: {error}") from None
    if picture.shape != size:
        raise DatasetError(f"{label}: is {picture.shape}, and its image is {size} (height, width)")
    unknown = _UNKNOWN if names else None
    found = [int(value) for value in np.unique(picture) if value not in (0, unknown)]
    if names and found and found[-1] >= len(names):
        raise DatasetError(f"{label}: has the number {found[-1]}, and {_CLASSES} has {len(names)} classes")
    boxes = np.array([_box(picture == value) for value in found], np.float32).reshape(-1, 4)
    class_ids = np.array([value - 1 if names else 0 for value in found], np.int64)
    masks = NumberedPicture(label, tuple(found), unknown)
    return Photo(path, number, size, boxes, class_ids, np.zeros((0, 4), np.float32), masks)


def _box(pixels: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(pixels)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1
