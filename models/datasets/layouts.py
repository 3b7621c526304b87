"""Detects the layout of a data folder, as annotation tools export it.

The folder is searched for labels of objects, then its splits; then for tables and folders by class. Two
formats in one folder are ambiguous: the error lists them for the user to choose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from models.datasets.class_archives import archives_in
from models.datasets.class_table import LABELS
from models.datasets.data_folder import is_file
from models.datasets.folder_names import files_below, files_in, sub_folder
from models.datasets.folders import class_folders
from models.datasets.photo_files import is_folder
from models.datasets.read_options import MEASURED, SPLIT_FOLDERS, NoSplit, Split
from models.datasets.samples import DatasetError, Kind
from models.datasets.voc_folder import CLASS_MAPS, has_voc
from models.datasets.xml_lines import read_xml
from models.datasets.yolo_folder import has_yolo

_COCO_FILES: Final = ("instances.json", "_annotations.coco.json", "result.json", "result_coco.json")
_COCO_TRAIN: Final = re.compile(r"instances_train.*\.json")
_NO_CLASSES: Final = ("images", "labels", "jpegimages", "segmentationclass", "segmentationobject", "annotations")
_CVAT: Final = "annotations.xml"
_ROBOFLOW_CLASSES: Final = "_classes.csv"
ARCHIVE: Final = "archive"
"""Format of images by class in a ZIP or NumPy archive."""
_TABLES: Final = ("json", "csv", "folders", ARCHIVE)
_OBJECTS: Final = ("detection", "instance", "semantic")
_POSES: Final = "keypoints"
_WITH_POSES: Final = (*_OBJECTS, _POSES)
_MOST_PLACES: Final = 100


class Layout(NamedTuple):
    """Labels that were found.

    Attributes:
        format_name: `coco`, `voc`, `yolo`, `masks`, `json`, `csv`, `folders` or `archive`.
        path: The folder or file to be read.
        seen: The file or folder by which it was detected.
        kinds: Tasks that it can be used for.
        wanted: Which photos of the path.
    """

    format_name: str
    path: Path
    seen: str
    kinds: tuple[str, ...] = _OBJECTS
    wanted: Split = MEASURED


def find_layout(folder: Path, kind: Kind, wanted: Split = MEASURED, format_name: str | None = None) -> Layout:
    """Finds the labels of a folder.

    Args:
        folder: To look in.
        kind: The task; formats that cannot be read for it are skipped.
        wanted: Which photos.
        format_name: Of the labels; any where None.

    Raises:
        DatasetError: There are none, or those of several formats or files; the message lists them.
        NoSplit: There are none of a split that was asked for.
    """
    found = [layout._replace(wanted=wanted) for layout in _objects_in(folder, wanted, kind)]
    found = found or _objects_of_splits(folder, wanted, kind)
    if not found or kind == "classification":
        found += [layout._replace(wanted=wanted) for layout in _tables_and_classes(folder)]
    usable = [layout for layout in found if kind in layout.kinds and format_name in (None, layout.format_name)]
    if not usable and not wanted.unsplit:
        raise NoSplit(f"{folder}: no labels of a split {' or '.join(wanted.names)}")
    if len(usable) == 1 or (usable and usable[0].format_name in _TABLES):
        return usable[0]
    if usable:
        ways = "; ".join(f"{layout.seen}: {layout.format_name}:{layout.path}" for layout in usable)
        raise DatasetError(f"{folder}: holds labels in {len(usable)} places; name one of them: {ways}")
    if found and not _below(folder):
        return found[0]  # whose reader says why it cannot be measured on
    raise DatasetError(f"{folder}: holds no labels that are known{_hint(folder)}")


def annotation_file(folder: Path, wanted: Split, kind: Kind) -> Path:
    """Finds the file of a folder in COCO's format.

    Raises:
        DatasetError: There is none, or more than one.
        NoSplit: There is none of a split that was asked for.
    """
    found = list(_coco_in(folder, wanted, kind)) or [
        layout for split in _splits(folder, wanted) for layout in _coco_in(split, wanted.within, kind)
    ]
    if not found:
        looked = f"{', '.join(_coco_files(wanted, kind))}, nor annotations/{_stem(kind)}_*.json"
        raise (DatasetError if wanted.unsplit else NoSplit)(f"{folder}: no {looked}{_hint(folder)}")
    if len(found) > 1:
        raise DatasetError(f"{folder}: {', '.join(layout.seen for layout in found)}; name one of them")
    return found[0].path


def _objects_in(folder: Path, wanted: Split, kind: Kind) -> Iterator[Layout]:
    yield from _coco_in(folder, wanted, kind)
    if has_voc(folder):
        kinds = _OBJECTS if (folder / CLASS_MAPS).is_dir() else ("detection",)
        yield Layout("voc", folder, "XML files or masks of Pascal VOC", kinds)
    if has_yolo(folder, wanted):
        yield Layout("yolo", folder, "YOLO's settings or text files", _WITH_POSES)
    if any(_has_masks(folder / place) for place in (*wanted.names, *(["."] if wanted.unsplit else []))):
        yield Layout("masks", folder, "labels/*.png")


def _stem(kind: Kind) -> str:
    """How the names of COCO's files begin: `instances_val2017.json`, `person_keypoints_val2017.json`."""
    return "keypoints" if kind == _POSES else "instances"


def _coco_files(wanted: Split, kind: Kind) -> tuple[str, ...]:
    return (f"{_stem(kind)}_{wanted.names[0]}.json", *(_COCO_FILES if wanted.unsplit else ()))


def _coco_in(folder: Path, wanted: Split, kind: Kind) -> Iterator[Layout]:
    """The annotation file of a split; several where the names are ambiguous."""
    splits = (*wanted.names, *(["default"] if wanted.unsplit else []))
    stem = f"(person_)?{_stem(kind)}" if kind == _POSES else _stem(kind)
    patterns = [re.compile(rf"{stem}_{split}.*\.json") for split in splits]
    places = [place for place in (folder, sub_folder(folder, "annotations")) if place is not None]
    for place in places:
        files = files_in(place, ".json")
        named = next((place / name for name in _coco_files(wanted, kind) if is_file(place / name)), None)
        found = [named] if named is not None else []
        for pattern in patterns:
            found = found or [path for path in files if pattern.fullmatch(path.name)]
        if found:
            yield from (Layout("coco", path, path.relative_to(folder).as_posix(), _WITH_POSES) for path in found)
            return


def _objects_of_splits(folder: Path, wanted: Split, kind: Kind) -> list[Layout]:
    """The labels of the first split that is wanted."""
    for split in _splits(folder, wanted):
        within = wanted.within
        found = [
            layout._replace(seen=f"{split.name}/: {layout.seen}", wanted=within)
            for layout in _objects_in(split, within, kind)
        ]
        boxes = split / "_annotations.csv"
        if not found and is_file(boxes):
            found = [Layout("csv", boxes, f"{split.name}/{boxes.name}", ("detection",))]
        if found:
            return found
    return []


def _splits(folder: Path, wanted: Split) -> list[Path]:
    return [folder / name for name in wanted.names if (folder / name).is_dir()]


def _has_masks(folder: Path) -> bool:
    labels = folder / "labels"
    return is_folder(folder / "images") and is_folder(labels) and next(files_below(labels, ".png"), None) is not None


def _tables_and_classes(folder: Path) -> list[Layout]:
    found: list[Layout] = []
    if (folder / LABELS).is_file():
        found.append(Layout("json", folder, LABELS, ("classification",)))
    if any(path.name != _ROBOFLOW_CLASSES for path in files_in(folder, ".csv")):
        found.append(Layout("csv", folder, "*.csv", ("classification", "detection")))
    classes = _class_folder(folder)
    if classes is not None:
        found.append(Layout("folders", classes, "folders by class", ("classification",)))
    archives = archives_in(folder)
    if len(archives) == 1 or any(path.stem.lower() in SPLIT_FOLDERS for path in archives):
        found.append(Layout(ARCHIVE, folder, "*.zip or *.npz", ("classification",)))
    return found


def _class_folder(folder: Path) -> Path | None:
    """The folder with one folder per class: the split to evaluate on, or the folder itself."""
    names = _classes_in(folder)
    if names and not set(names) <= set(SPLIT_FOLDERS):
        return folder
    return next((split for split in _splits(folder, MEASURED) if _classes_in(split)), None)


def class_format(folder: Path) -> str:
    """Tells how a folder holds images of one class each to learn from: `folders`, or else the format of a table."""
    names, train = _classes_in(folder), folder / "train"
    if set(names) <= set(SPLIT_FOLDERS) and not (train.is_dir() and _classes_in(train)):
        for layout in _tables_and_classes(folder):
            if layout.format_name != "folders":
                return layout.format_name
    return "folders"


def _classes_in(folder: Path) -> list[str]:
    return [name for name in class_folders(folder) if name.lower() not in _NO_CLASSES]


def _hint(folder: Path) -> str:
    """A hint for the error message: unsupported files that were found, or paths to name instead."""
    for place in (folder, *_splits(folder, MEASURED), folder / "train"):
        if is_file(place / _CVAT) and _root_tag(place / _CVAT) == "annotations":
            return (
                f"; {place / _CVAT} is CVAT's own format: export COCO 1.0, Pascal VOC 1.1 or Ultralytics YOLO instead"
            )
        if is_file(place / _ROBOFLOW_CLASSES):
            return (f"; {place / _ROBOFLOW_CLASSES} has a column for every class: export Roboflow's Folder Structure"
                    " for a classifier, COCO Segmentation for masks")  # fmt: skip
    near = [*_below(folder), *map(str, files_in(folder, ".json", ".csv", ".yaml", ".yml"))]
    near += [str(path) for path in files_below(folder, ".json") if _COCO_TRAIN.fullmatch(path.name)][:1]
    return f"; name one of {', '.join(dict.fromkeys(near[:10]))}" if near else ""


def _below(folder: Path) -> list[str]:
    """Sub-folders with labels of objects."""
    places = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [
        str(place)
        for place in places[:_MOST_PLACES]
        if next(_objects_in(place, MEASURED, "detection"), None) is not None
    ]


def _root_tag(path: Path) -> str:
    try:
        return read_xml(path).tag
    except DatasetError:
        return ""
