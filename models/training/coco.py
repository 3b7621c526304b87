"""Reads data sets in the format of COCO (https://cocodataset.org/#format-data), for training and evaluation.

A folder holds `instances_train.json` and `instances_val.json` (or one `instances.json`, which is all training) and the
photos, in `images/` or beside the files.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.coco_members import is_unknown_side, shown, side_length
from models.datasets.data_folder import DataFolder, is_file
from models.datasets.object_masks import CocoMasks
from models.datasets.photo_dataset import DatasetError, Photo, PhotoDataset
from models.errors import ImageError
from models.imaging import decoding
from models.sources.text_documents import DocumentError, read_json
from models.training.coco_objects import CocoObject, objects_of_photo, rows_by_image, whole_member

_IMAGE_FOLDER: Final = "images"
_TRIED_PHOTOS: Final = 20
_MOST_BYTES: Final = 2**32

_RowsByImage = Mapping[int, Sequence[tuple[int, Mapping[str, Any]]]]


def annotation_file(folder: Path, split: str) -> Path:
    """Finds the file of a split.

    Args:
        folder: The data set.
        split: `train` or `val`; a folder with one `instances.json` is all `train`.

    Raises:
        DatasetError: There is none.
    """
    names = (f"instances_{split}.json", *(["instances.json"] if split == "train" else []))
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise DatasetError(f"{folder}: no {' or '.join(names)}")


def read_coco(
    path: Path,
    class_names: Sequence[str] | None = None,
    without: Collection[str] = (),
    limit: int | None = None,
    allow_outside: bool = False,
) -> PhotoDataset:
    """Reads an annotation file; see `models.datasets.coco_members` for the spellings of its members.

    Args:
        path: The file; the photos are in `images/` beside it, or beside it.
        class_names: Keep objects of these categories only, in this order; all of the file's where None.
        without: File names of photos to leave out.
        limit: Read so many photos, from the first.
        allow_outside: Whether photos may be outside the folder of the file.

    Returns:
        The data set; photos without objects are in it too.

    Raises:
        DatasetError: The file cannot be read, is not in COCO's format, names unknown categories or files outside its
            folder, or photos are missing; or a member of it cannot be read.
    """
    document = read_document(path)
    try:
        categories = categories_of(path, document)
        names = tuple(class_names) if class_names is not None else tuple(categories[key] for key in sorted(categories))
        ids = {name: key for key, name in categories.items()}
        missing = [name for name in names if name not in ids]
        if missing:
            raise DatasetError(f"{path}: no category {missing[0]!r}; it has {', '.join(sorted(ids)[:20])}")
        classes = {ids[name]: index for index, name in enumerate(names)}
        reader = _Reader(path, rows_by_image(path, document, categories), classes, allow_outside)
        photos = reader.read(document["images"], without, limit)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DatasetError(f"{path}: not in COCO's format: {type(error).__name__} {error}") from None
    if not document["images"]:
        raise DatasetError(f"{path}: no photos")
    return PhotoDataset(f"{path.parent.name}/{path.stem}", path, photos, names, tuple(ids[name] for name in names))


def categories_of(path: Path, document: Mapping[str, Any]) -> dict[int, str]:
    """Reads the names of categories by their numbers.

    Raises:
        DatasetError: An id is not a whole number, or an id or a name is there twice.
    """
    categories: dict[int, str] = {}
    for index, row in enumerate(document["categories"]):
        place = f"{path}: categories[{index}]"
        number, name = whole_member(place, row, "id"), str(row["name"])
        if number in categories or name in categories.values():
            raise DatasetError(f"{place}: there is another category with the id {number} or the name {name!r}")
        categories[number] = name
    return categories


def read_document(path: Path) -> Mapping[str, Any]:
    """Reads the JSON of an annotation file.

    Raises:
        DatasetError: It cannot be read, or is not JSON.
    """
    try:
        return read_json(path, _MOST_BYTES)
    except DocumentError as error:
        raise DatasetError(str(error)) from None


class _Reader:
    """Reads one annotation file."""

    def __init__(self, path: Path, rows: _RowsByImage, classes: Mapping[int, int], allow_outside: bool) -> None:
        self._path, self._rows, self._classes = path, rows, classes
        self._data = DataFolder(path.parent, allow_outside=allow_outside)
        self._folder = path.parent / _IMAGE_FOLDER

    def read(self, rows: Sequence[Mapping[str, Any]], without: Collection[str], limit: int | None) -> tuple[Photo, ...]:
        names = [name for row in rows[:_TRIED_PHOTOS] if isinstance(name := row["file_name"], str)]
        if not any(self._data.find(self._folder, name) for name in names):
            self._folder = self._path.parent
        seen: dict[int, int] = {}
        photos: list[Photo] = []
        for index, row in enumerate(rows):
            place = f"{self._path}: images[{index}]"
            path, image_id = self._photo_path(row["file_name"], place), whole_member(place, row, "id")
            if seen.setdefault(image_id, index) != index:
                raise DatasetError(f"{place}: the id {image_id} is that of images[{seen[image_id]}], too")
            if path.name in without:
                continue
            if not is_file(path):
                raise DatasetError(f"{place}: the photo {path} is missing")
            photos.append(self._photo(row, path, image_id, place))
            if len(photos) == limit:
                break
        return tuple(photos)

    def _photo_path(self, name: Any, place: str) -> Path:
        if not isinstance(name, str):
            raise DatasetError(f"{place}: the file_name {shown(name)} is not text")
        return self._data.check(self._data.find(self._folder, name) or self._folder / name, place)

    def _photo(self, row: Mapping[str, Any], path: Path, image_id: int, place: str) -> Photo:
        size = _size(row, path, place)
        found = objects_of_photo(self._path, self._rows.get(image_id, ()), size)
        wanted = [item for item in found if item.category_id in self._classes and item.has_area]
        objects, crowds = [item for item in wanted if not item.crowd], [item for item in wanted if item.crowd]
        return Photo(
            path=path,
            image_id=image_id,
            size=size,
            boxes=_corners(objects, size),
            class_ids=np.array([self._classes[item.category_id] for item in objects], np.int64),
            crowds=_corners(crowds, size),
            masks=_masks(row, objects, crowds, size),
        )


def _masks(
    row: Mapping[str, Any], objects: Sequence[CocoObject], crowds: Sequence[CocoObject], size: tuple[int, int]
) -> CocoMasks | None:
    """The masks of a photo, where every object has one; a photo without objects may say so by `has_masks`."""
    segments = [item.segment for item in objects]
    if not all(segments) or not row.get("has_masks", True):
        return None
    return CocoMasks(size, segments, [item.shape for item in crowds])


def _size(row: Mapping[str, Any], path: Path, place: str) -> tuple[int, int]:
    """The size that the file says, or that of the photo where it does not know."""
    sides = [(name, row.get(name), side_length(row.get(name))) for name in ("height", "width")]
    for name, written, side in sides:
        if side is None and not is_unknown_side(written):
            raise DatasetError(f"{place}: the {name} {shown(written)} is not a number of pixels")
    (_, _, height), (_, _, width) = sides
    if height is not None and width is not None:
        return height, width
    try:
        return decoding.inspect(path.read_bytes()).size
    except (OSError, ImageError) as error:
        raise DatasetError(f"{path}: {error}") from None


def _corners(objects: Sequence[CocoObject], size: tuple[int, int]) -> NDArray[np.float32]:
    """Boxes within the photo."""
    height, width = size
    corners = np.array([item.box for item in objects], np.float32).reshape(-1, 4)
    return corners.clip(0, np.array([width, height, width, height], np.float32))
