"""Reads data sets in the format of COCO (https://cocodataset.org/#format-data), for training and evaluation.

A folder holds `instances_train.json` and `instances_val.json` (or one `instances.json`, which is all training) and the
photos, in `images/` or beside the files.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_IMAGE_FOLDER: Final = "images"


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
    """

    path: Path
    image_id: int
    size: tuple[int, int]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    crowds: NDArray[np.float32]


@dataclass(frozen=True)
class CocoDataset:
    """Photos with boxes.

    Attributes:
        name: Folder and split, for people.
        annotation_file: Where it was read from.
        photos: In the order of the file.
        class_names: One for every class id.
        category_ids: The file's own id of every class id.
    """

    name: str
    annotation_file: Path
    photos: tuple[Photo, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]

    @property
    def fingerprint(self) -> str:
        """Changes with any photo's name, objects or classes; sixteen hexadecimal digits."""
        digest = sha256(repr(self.class_names).encode())
        for photo in self.photos:
            digest.update(photo.path.name.encode())
            for array in (photo.boxes, photo.class_ids, photo.crowds):
                digest.update(array.tobytes())
        return digest.hexdigest()[:16]


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
    path: Path, class_names: Sequence[str] | None = None, without: Collection[str] = (), limit: int | None = None
) -> CocoDataset:
    """Reads an annotation file.

    Args:
        path: The file; the photos are in `images/` beside it, or beside it.
        class_names: Keep objects of these categories only, in this order; all of the file's where None.
        without: File names of photos to leave out.
        limit: Read so many photos, from the first.

    Returns:
        The data set; photos without objects are in it too.

    Raises:
        DatasetError: The file cannot be read, is not in COCO's format, names unknown categories, or photos are missing.
    """
    document = _read_json(path)
    try:
        categories = {int(row["id"]): str(row["name"]) for row in document["categories"]}
        names = tuple(class_names) if class_names is not None else tuple(categories[key] for key in sorted(categories))
        ids = {name: key for key, name in categories.items()}
        missing = [name for name in names if name not in ids]
        if missing:
            raise DatasetError(f"{path}: no category {missing[0]!r}; it has {', '.join(sorted(ids)[:20])}")
        classes = {ids[name]: index for index, name in enumerate(names)}
        rows = [row for row in document["images"] if Path(row["file_name"]).name not in without][:limit]
        annotations = _by_image(document["annotations"])
        folder = path.parent / _IMAGE_FOLDER if (path.parent / _IMAGE_FOLDER).is_dir() else path.parent
        photos = tuple(_photo(row, annotations.get(row["id"], ()), classes, folder) for row in rows)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DatasetError(f"{path}: not in COCO's format: {type(error).__name__} {error}") from None
    if not document["images"]:
        raise DatasetError(f"{path}: no photos")
    absent = next((photo.path for photo in photos if not photo.path.is_file()), None)
    if absent is not None:
        raise DatasetError(f"{path}: the photo {absent} is missing")
    return CocoDataset(f"{path.parent.name}/{path.stem}", path, photos, names, tuple(ids[name] for name in names))


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON: {error}") from None


def _by_image(rows: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    grouped: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(row["image_id"], []).append(row)
    return grouped


def _photo(
    row: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]], classes: Mapping[int, int], folder: Path
) -> Photo:
    height, width = int(row["height"]), int(row["width"])
    wanted = [item for item in annotations if item["category_id"] in classes and min(item["bbox"][2:]) > 0]
    objects = [item for item in wanted if not item.get("iscrowd", 0)]
    return Photo(
        path=folder / row["file_name"],
        image_id=int(row["id"]),
        size=(height, width),
        boxes=_corners([item["bbox"] for item in objects], height, width),
        class_ids=np.array([classes[item["category_id"]] for item in objects], np.int64),
        crowds=_corners([item["bbox"] for item in wanted if item.get("iscrowd", 0)], height, width),
    )


def _corners(boxes: Sequence[Sequence[float]], height: int, width: int) -> NDArray[np.float32]:
    """COCO's x, y, width, height to corners within the image."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    corners = np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], 1)
    return corners.clip(0, np.array([width, height, width, height], np.float32))
