"""Reads folders whose masks are PNG files of numbers.

`images` and `labels`, or these in the folder of a split, such as `val`, which comes first where there are both. A label
is a PNG of the image's name, of 8 or 16 bits. Its pixels are numbers of objects, 0 where there is none; or, where the
folder has a file `classes.txt` with a name on every line, ids of classes: the first line is the background, and pixels
of 255 are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.datasets.data_folder import DataFolder
from models.datasets.folders import image_files
from models.datasets.label_problems import ProblemList
from models.datasets.labelled_photos import LabelledPhotos, PhotoRows
from models.datasets.numbered_pictures import (
    ClassMaps,
    Fault,
    numbered_objects,
    read_class_maps,
    read_pictures,
)
from models.datasets.object_table import LabelledObject
from models.datasets.read_options import SPLIT_FOLDERS, NoSplit, ReadOptions
from models.datasets.samples import UNNAMED, DatasetError
from models.datasets.text_files import names_in

_CLASSES: Final = "classes.txt"


def read_id_maps(folder: Path, options: ReadOptions) -> LabelledPhotos | ClassMaps:
    """Reads a folder.

    Args:
        folder: With `val/images` and `val/labels`, or `images` and `labels`.
        options: For `detection` (boxes around the masks), `instance` or `semantic`.

    Raises:
        DatasetError: It cannot be used at all.
        NoSplit: It has no such split.
    """
    if options.kind == "classification":
        raise DatasetError(f"{folder}: masks are labels of pixels; a classifier is measured on folders by class")
    splits = [folder / name for name in options.split.names if (folder / name / "labels").is_dir()]
    if not splits and not options.split.unsplit:
        raise NoSplit(f"{folder}: no {options.split.names[0]}/labels")
    root = splits[0] if splits else folder
    photos = list(image_files(root / "images")) if (root / "images").is_dir() else []
    if not photos:
        raise DatasetError(f"{folder}: no photos; looked in {options.split.names[0]}/images and images")
    problems = ProblemList()
    data = DataFolder(folder, allow_outside=options.allow_outside)
    labelled = [(photo, _label(data, root, photo)) for photo in data.checked(photos)]
    data.checked(label for _, label in labelled)
    if options.limit is None:
        _report_strays(root, labelled, problems)
    whole = root.absolute()
    name = f"{whole.parent.name}/{whole.name}" if whole.name in SPLIT_FOLDERS else whole.name
    classes = next((path for path in (root / _CLASSES, folder / _CLASSES, _above(folder)) if path.is_file()), None)
    if classes is None:
        return _read_objects(PhotoRows(name, options, root, (UNNAMED,), (1,), problems, True), labelled)
    if options.kind != "semantic":
        raise DatasetError(f"{classes}: says that pixels are classes, which does not tell one object from another;"
                           " only a semantic model is measured on them")  # fmt: skip
    return read_class_maps(name, root, labelled, names_in(classes), problems, options.limit)


def _read_objects(rows: PhotoRows, labelled: Sequence[tuple[Path, Path]]) -> LabelledPhotos:
    for image_id, ((photo, label), read) in enumerate(zip(labelled, read_pictures(labelled), strict=True), 1):
        if rows.options.enough(len(rows)):
            break
        if isinstance(read, Fault):
            rows.problems.add(read.kind, read.file, None, read.message)
            continue
        objects = [LabelledObject(box, 0, area, number=number) for number, box, area in numbered_objects(read[0])]
        files = (path.relative_to(rows.folder).as_posix() for path in (photo, label))
        rows.add(next(files), image_id, (*read[0].shape,), objects, next(files))
    return rows.photos()


def _label(data: DataFolder, root: Path, photo: Path) -> Path:
    name = photo.relative_to(root / "images").with_suffix(".png")
    return data.find(root / "labels", str(name)) or root / "labels" / name


def _above(folder: Path) -> Path:
    """The names of the classes beside the splits, where the folder is one of them."""
    whole = folder.absolute()
    return (whole.parent if whole.name in SPLIT_FOLDERS else whole) / _CLASSES


def _report_strays(root: Path, labelled: Sequence[tuple[Path, Path]], problems: ProblemList) -> None:
    """Labels of photos that are not there."""
    known = {label for _, label in labelled}
    for path in sorted((root / "labels").rglob("*")):
        if path.suffix.lower() == ".png" and path not in known and not path.name.startswith("."):
            problems.add("missing_file", path, None, "there is no photo of this name")
