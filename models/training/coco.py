"""Reads data sets in the format of COCO (https://cocodataset.org/#format-data), for training and evaluation.

A folder holds `instances_train.json` and `instances_val.json` (or one `instances.json`, which is all training) and the
photos, in `images/` or beside the files.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.training.object_masks import CocoMasks, rectangle
from models.training.photo_dataset import DatasetError, Photo, PhotoDataset

_IMAGE_FOLDER: Final = "images"


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
) -> PhotoDataset:
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
    return PhotoDataset(f"{path.parent.name}/{path.stem}", path, photos, names, tuple(ids[name] for name in names))


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
    height, width = _size(row)
    wanted = [item for item in annotations if item["category_id"] in classes and min(item["bbox"][2:]) > 0]
    objects = [item for item in wanted if not item.get("iscrowd", 0)]
    crowds = [item for item in wanted if item.get("iscrowd", 0)]
    return Photo(
        path=folder / row["file_name"],
        image_id=int(row["id"]),
        size=(height, width),
        boxes=_corners([item["bbox"] for item in objects], height, width),
        class_ids=np.array([classes[item["category_id"]] for item in objects], np.int64),
        crowds=_corners([item["bbox"] for item in crowds], height, width),
        masks=_masks(row, objects, crowds),
    )


def _masks(
    row: Mapping[str, Any], objects: Sequence[Mapping[str, Any]], crowds: Sequence[Mapping[str, Any]]
) -> CocoMasks | None:
    """The masks of a photo, where every object has one; a photo without objects may say so by `has_masks`."""
    segments = [item.get("segmentation") for item in objects]
    if not all(segments) or not row.get("has_masks", True):
        return None
    boxes = _corners([item["bbox"] for item in crowds], *_size(row)).tolist()
    around = [item.get("segmentation") or rectangle(box) for item, box in zip(crowds, boxes, strict=True)]
    return CocoMasks(_size(row), segments, around)


def _size(row: Mapping[str, Any]) -> tuple[int, int]:
    return int(row["height"]), int(row["width"])


def _corners(boxes: Sequence[Sequence[float]], height: int, width: int) -> NDArray[np.float32]:
    """COCO's x, y, width, height to corners within the image."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    corners = np.concatenate([array[:, :2], array[:, :2] + array[:, 2:]], 1)
    return corners.clip(0, np.array([width, height, width, height], np.float32))
