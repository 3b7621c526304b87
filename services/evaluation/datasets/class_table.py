"""Reads tables: a CSV file with a row for every image or box, or a JSON file that gives every image its class.

The classes of a table are names, or, where all are whole numbers, the model's class ids.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from models.training.data_folder import DataFolder
from services.evaluation.datasets.classified_photos import ClassifiedPhotos
from services.evaluation.datasets.json_places import member_lines
from services.evaluation.datasets.label_problems import ProblemList
from services.evaluation.datasets.labelled_boxes import box_area, checked_box
from services.evaluation.datasets.labelled_photos import LabelledPhotos, PhotoRows
from services.evaluation.datasets.object_table import LabelledObject
from services.evaluation.datasets.photo_files import is_there, photo_sizes, spread
from services.evaluation.datasets.text_files import parse_json, read_text
from services.evaluation.datasets.written_classes import WrittenClasses, written_classes
from services.evaluation.samples import DatasetError, Kind

LABELS: Final = "labels.json"
"""In a folder: file → class."""

_BOX: Final = ("x_min", "y_min", "x_max", "y_max")
_COLUMNS: Final = {
    "file": ("file", "filename", "file_name", "image", "path"),
    "class": ("class", "class_name", "class_id", "label"),
    **{name: (name, name.replace("_", "")) for name in _BOX},
}
"""Names that a column may have, in any case."""


class _Row(NamedTuple):
    """One line of a table: a file, its class, and, of a table of boxes, a box; empty texts where it has none."""

    line: int
    file: str
    class_name: str
    box: tuple[str, ...] = ()


def is_class_table(document: Any) -> bool:
    """Tells whether a JSON document gives files their classes, by name or number, though not every one may be right."""
    values = list(cast(dict[str, Any], document).values()) if isinstance(document, dict) else []
    is_flat = not any(isinstance(value, dict | list) for value in values)
    return is_flat and any(isinstance(value, str | int) for value in values)


def read_labels_json(
    path: Path,
    kind: Kind,
    limit: int | None,
    class_names: tuple[str, ...] | None,
    text: str | None = None,
    allow_outside: bool = False,
) -> ClassifiedPhotos:
    """Reads a JSON object of files and their classes, such as `{"0001.jpg": "cat"}` or `{"0001.jpg": 281}`.

    Args:
        path: The file; the photos are in `images/` beside it, or beside it.
        kind: `classification`.
        limit: So many photos, evenly from the first to the last.
        class_names: The model's, for bare numbers.
        text: The file's, where it has been read.
        allow_outside: Whether it may name photos outside the data folder.

    Raises:
        DatasetError: It cannot be used at all.
    """
    if kind != "classification":
        raise DatasetError(f"{path}: gives every photo one class, and says nothing of where objects are")
    text = read_text(path) if text is None else text
    pairs = parse_json(path, text, pairs=True)
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in cast(list[Any], pairs)):
        raise DatasetError(f"{path}: must be an object of files and their classes")
    problems = ProblemList()
    rows: list[_Row] = []
    for line, (file, value) in zip(member_lines(text), cast(list[tuple[str, Any]], pairs), strict=True):
        if isinstance(value, str | int) and not isinstance(value, bool):
            rows.append(_Row(line, file, str(value)))
        else:
            problems.add("unreadable", path, line, f"the class of {file!r} is neither a name nor a whole number")
    return _classified(path, rows, limit, class_names, problems, allow_outside)


def read_csv(
    path: Path,
    kind: Kind,
    limit: int | None,
    class_names: tuple[str, ...] | None,
    allow_outside: bool = False,
) -> ClassifiedPhotos | LabelledPhotos:
    """Reads a CSV file with a header: `file,class`, or `file,x_min,y_min,x_max,y_max,class` with a row for every box.

    Boxes are in pixels, from 0, and end at x_max, y_max. A row with a file and nothing else is a photo without objects.

    Args:
        path: The file; the photos are in `images/` beside it, or beside it, or where an absolute path says.
        kind: `classification`, or `detection` for boxes.
        limit: So many photos: of classes evenly from the first to the last, of boxes from the first.
        class_names: The model's, for bare numbers.
        allow_outside: Whether it may name photos outside the data folder.

    Raises:
        DatasetError: It cannot be used at all.
    """
    problems = ProblemList()
    if kind == "classification":
        return _classified(path, _csv_rows(path, False, problems), limit, class_names, problems, allow_outside)
    if kind != "detection":
        raise DatasetError(f"{path}: a CSV file holds no masks; use COCO, YOLO, VOC, or a folder of masks")
    return _boxes(path, _csv_rows(path, True, problems), limit, class_names, problems, allow_outside)


def _csv_rows(path: Path, boxes: bool, problems: ProblemList) -> list[_Row]:
    reader = csv.reader(StringIO(read_text(path), newline=""), strict=True)
    try:
        header = next(reader, list[str]())
        places = _places(path, header, boxes)
        rows: list[_Row] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                problems.add("unreadable", path, reader.line_num, f"{len(cells)} columns; the header has {len(header)}")
                continue
            file, class_name, *box = (cells[place].strip() for place in places)
            rows.append(_Row(reader.line_num, file, class_name, tuple(box)))
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num}: not CSV: {error}") from None
    return rows


def _places(path: Path, header: Sequence[str], boxes: bool) -> list[int]:
    found = {name.strip().lower(): place for place, name in reversed(list(enumerate(header)))}
    wanted = ("file", "class", *(_BOX if boxes else ()))
    places = [next((found[name] for name in _COLUMNS[column] if name in found), None) for column in wanted]
    missing = [column for column, place in zip(wanted, places, strict=True) if place is None]
    if missing:
        raise DatasetError(f"{path}:1: the header has no {', '.join(missing)}; it must name, with commas between:"
                           f" {','.join(wanted)}")  # fmt: skip
    return [place for place in places if place is not None]


def _classified(
    path: Path,
    rows: Sequence[_Row],
    limit: int | None,
    class_names: tuple[str, ...] | None,
    problems: ProblemList,
    allow_outside: bool,
) -> ClassifiedPhotos:
    folder = _photo_folder(path, [row.file for row in rows])
    data = DataFolder(path.parent, allow_outside=allow_outside)
    classes = written_classes([row.class_name for row in rows if row.class_name], class_names)
    photos: list[tuple[int, str, int]] = []
    first_lines: dict[str, int] = {}
    for image_id, row in enumerate(rows, 1):
        class_id = _class_id(path, row, classes, problems)
        if class_id is None or not _is_there(path, folder, row, data, problems):
            continue
        if first_lines.setdefault(row.file, row.line) != row.line:
            message = f"{row.file} is in line {first_lines[row.file]}, too, which stays"
            problems.add("duplicate", path, row.line, message)
            continue
        photos.append((image_id, row.file, class_id))
    return ClassifiedPhotos.of(_name(path), folder, classes.names, spread(photos, limit), problems)


def _class_id(path: Path, row: _Row, classes: WrittenClasses, problems: ProblemList) -> int | None:
    if not row.class_name:
        problems.add("no_label", path, row.line, f"{row.file} has no class")
        return None
    class_id = classes.id_of(row.class_name)
    if class_id is None:
        message = f"there is no class {row.class_name}; the model has 0 to {len(classes.names) - 1}"
        problems.add("unknown_class", path, row.line, message)
    return class_id


def _is_there(path: Path, folder: Path, row: _Row, data: DataFolder, problems: ProblemList) -> bool:
    there = bool(row.file) and is_there(data.check(folder / row.file, f"{path}:{row.line}"))
    if not there:
        message = f"there is no {folder / row.file}" if row.file else "the row names no file"
        problems.add("missing_file", path, row.line, message)
    return there


def _boxes(
    path: Path,
    rows: Sequence[_Row],
    limit: int | None,
    class_names: tuple[str, ...] | None,
    problems: ProblemList,
    allow_outside: bool,
) -> LabelledPhotos:
    folder = _photo_folder(path, [row.file for row in rows])
    data = DataFolder(path.parent, allow_outside=allow_outside)
    classes = written_classes([row.class_name for row in rows if row.class_name], class_names)
    by_file: dict[str, list[_Row]] = {}
    for row in rows:
        by_file.setdefault(row.file, []).append(row)
    files = [file for file, own in by_file.items() if _is_there(path, folder, own[0], data, problems)]
    numbers = tuple(range(len(classes.names)))
    photos = PhotoRows(_name(path), "detection", folder, classes.names, numbers, problems)
    sizes = photo_sizes(folder / file for file in files)
    for image_id, (file, size) in enumerate(zip(files, sizes, strict=True), 1):
        if limit is not None and len(photos) >= limit:
            break
        if isinstance(size, str):
            problems.add("unreadable", folder / file, None, size)
            continue
        photos.add(file, image_id, size, list(_objects(path, by_file[file], size, classes, problems)))
    return photos.photos()


def _objects(
    path: Path, rows: Sequence[_Row], size: tuple[int, int], classes: WrittenClasses, problems: ProblemList
) -> Iterable[LabelledObject]:
    seen: dict[tuple[str, ...], int] = {}
    for row in rows:
        if not row.class_name and not any(row.box):
            continue  # a photo without objects
        if seen.setdefault((row.class_name, *row.box), row.line) != row.line:
            problems.add("duplicate", path, row.line, f"the same as line {seen[(row.class_name, *row.box)]}")
            continue
        class_id = _class_id(path, row, classes, problems)
        if class_id is None:
            continue
        box = checked_box([_number(text) for text in row.box], size, problems.at(path, row.line))
        if box is not None:
            yield LabelledObject(box, class_id, box_area(box))


def _number(text: str) -> float | str:
    """A number, or the text where it is none."""
    try:
        number = float(text)
    except ValueError:
        return text or "nothing"
    return number if math.isfinite(number) else text


def _photo_folder(path: Path, files: Sequence[str]) -> Path:
    beside = path.parent / "images"
    return beside if any(file and is_there(beside / file) for file in files[:20]) else path.parent


def _name(path: Path) -> str:
    """The folder, and the file where it is not the only one of its kind."""
    folder = path.absolute().parent.name
    return folder if path.name == LABELS else f"{folder}/{path.stem}"
