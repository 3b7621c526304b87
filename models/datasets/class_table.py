"""Reads tables: a CSV file with a row for every image or box, or a JSON file that gives every image its class.

The classes of a table are names, or, where all are whole numbers, the model's class ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from models.datasets.classified_photos import ClassifiedPhotos
from models.datasets.coco_members import finite_number, whole_number
from models.datasets.csv_table import TableRow, csv_rows
from models.datasets.data_folder import DataFolder
from models.datasets.json_places import member_lines
from models.datasets.label_problems import ProblemList
from models.datasets.labelled_boxes import box_area, checked_box
from models.datasets.labelled_photos import LabelledPhotos, PhotoRows
from models.datasets.object_table import LabelledObject
from models.datasets.photo_files import photo_sizes, spread
from models.datasets.read_options import ReadOptions
from models.datasets.samples import DatasetError
from models.datasets.text_files import parse_json, read_text
from models.datasets.written_classes import WrittenClasses, written_classes

LABELS: Final = "labels.json"
"""In a folder: file → class."""


def is_class_table(document: Any) -> bool:
    """Whether a JSON document maps files to classes, by name or number; some entries may be invalid."""
    values = list(cast(dict[str, Any], document).values()) if isinstance(document, dict) else []
    is_flat = not any(isinstance(value, dict | list) for value in values)
    return is_flat and any(isinstance(value, str | int) for value in values)


def read_labels_json(
    path: Path, options: ReadOptions, class_names: tuple[str, ...] | None, text: str | None = None
) -> ClassifiedPhotos:
    """Reads a JSON object of files and their classes, such as `{"0001.jpg": "cat"}` or `{"0001.jpg": 281}`.

    Args:
        path: The file; the photos are in `images/` beside it, or beside it.
        options: For `classification`; a limit takes photos evenly from the first to the last.
        class_names: The model's, for bare numbers.
        text: The file's, where it has been read.

    Raises:
        DatasetError: It cannot be used at all.
    """
    if options.kind != "classification":
        raise DatasetError(f"{path}: gives every photo one class, and has no boxes, masks or key points")
    text = read_text(path) if text is None else text
    pairs = parse_json(path, text, pairs=True)
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in cast(list[Any], pairs)):
        raise DatasetError(f"{path}: must be an object of files and their classes")
    problems = ProblemList()
    rows: list[TableRow] = []
    for line, (file, value) in zip(member_lines(text), cast(list[tuple[str, Any]], pairs), strict=True):
        number = None if isinstance(value, str) else whole_number(value)
        if isinstance(value, str) or number is not None:
            rows.append(TableRow(line, file, value if isinstance(value, str) else str(number)))
        else:
            problems.add("unreadable", path, line, f"the class of {file!r} is neither a name nor a whole number")
    return _classified(path, rows, options, class_names, problems)


def read_csv(
    path: Path, options: ReadOptions, class_names: tuple[str, ...] | None
) -> ClassifiedPhotos | LabelledPhotos:
    """Reads a CSV file with a header: `file,class`, or `file,x_min,y_min,x_max,y_max,class` with a row for every box.

    Boxes are in pixels, from 0, and end at x_max, y_max. A row with a file and nothing else is a photo without objects.

    Args:
        path: The file; the photos are in `images/` beside it, or beside it, or where an absolute path says.
        options: For `classification`, or `detection` for boxes; a limit takes photos of classes evenly from the first
            to the last.
        class_names: The model's, for bare numbers.

    Raises:
        DatasetError: It cannot be used at all.
    """
    problems = ProblemList()
    if options.kind == "classification":
        return _classified(path, csv_rows(path, False, problems), options, class_names, problems)
    if options.kind != "detection":
        raise DatasetError(
            f"{path}: a CSV file holds no masks and no key points; use COCO, YOLO, VOC, or a folder of masks"
        )
    return _boxes(path, csv_rows(path, True, problems), options, class_names, problems)


def _classified(
    path: Path,
    rows: Sequence[TableRow],
    options: ReadOptions,
    class_names: tuple[str, ...] | None,
    problems: ProblemList,
) -> ClassifiedPhotos:
    photos_of = _Photos(path, rows, options.allow_outside, problems)
    classes = written_classes([row.class_name for row in rows if row.class_name], class_names)
    photos: list[tuple[int, str, int]] = []
    first_lines: dict[str, int] = {}
    for image_id, row in enumerate(rows, 1):
        class_id = _class_id(path, row, classes, problems)
        file = None if class_id is None else photos_of.find(row)
        if class_id is None or file is None:
            continue
        if first_lines.setdefault(file, row.line) != row.line:
            message = f"{row.file} is in line {first_lines[file]}, too, which stays"
            problems.add("duplicate", path, row.line, message)
            continue
        photos.append((image_id, file, class_id))
    return ClassifiedPhotos.of(_name(path), photos_of.folder, classes.names, spread(photos, options.limit), problems)


def _class_id(path: Path, row: TableRow, classes: WrittenClasses, problems: ProblemList) -> int | None:
    if not row.class_name:
        problems.add("no_label", path, row.line, f"{row.file} has no class")
        return None
    class_id = classes.id_of(row.class_name)
    if class_id is None:
        message = f"there is no class {row.class_name}; the model has 0 to {len(classes.names) - 1}"
        problems.add("unknown_class", path, row.line, message)
    return class_id


_TRIED_ROWS: Final = 20


class _Photos:
    """The photos that a table names."""

    def __init__(self, path: Path, rows: Sequence[TableRow], allow_outside: bool, problems: ProblemList) -> None:
        self._path, self._problems = path, problems
        self._data = DataFolder(path.parent, allow_outside=allow_outside)
        self._found: dict[str, str | None] = {}
        beside = path.parent / "images"
        is_beside = any(row.file and self._data.find(beside, row.file) for row in rows[:_TRIED_ROWS])
        self.folder = beside if is_beside else path.parent

    def find(self, row: TableRow) -> str | None:
        """Returns the name of a row's photo below the folder, or its absolute path; None, reported once, if missing."""
        if row.file not in self._found or not row.file:
            self._found[row.file] = self._look_for(row)
        return self._found[row.file]

    def _look_for(self, row: TableRow) -> str | None:
        if not row.file:
            self._problems.add("missing_file", self._path, row.line, "the row names no file")
            return None
        found = self._data.find(self.folder, row.file)
        path = self._data.check(found or self.folder / row.file, f"{self._path}:{row.line}")
        if found is None:
            self._problems.add("missing_file", self._path, row.line, f"there is no {path}")
            return None
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)


def _boxes(
    path: Path,
    rows: Sequence[TableRow],
    options: ReadOptions,
    class_names: tuple[str, ...] | None,
    problems: ProblemList,
) -> LabelledPhotos:
    photos_of = _Photos(path, rows, options.allow_outside, problems)
    classes = written_classes([row.class_name for row in rows if row.class_name], class_names)
    by_file: dict[str, list[TableRow]] = {}
    for row in rows:
        file = photos_of.find(row)
        if file is not None:
            by_file.setdefault(file, []).append(row)
    _check_pixels(path, rows)
    files, folder = list(by_file), photos_of.folder
    numbers = tuple(range(len(classes.names)))
    photos = PhotoRows(_name(path), options, folder, classes.names, numbers, problems, names_classes=False)
    sizes = photo_sizes(folder / file for file in files)
    for image_id, (file, size) in enumerate(zip(files, sizes, strict=True), 1):
        if options.enough(len(photos)):
            break
        if isinstance(size, str):
            problems.add("unreadable", folder / file, None, size)
            continue
        photos.add(file, image_id, size, list(_objects(path, by_file[file], size, classes, problems)))
    return photos.photos()


def _objects(
    path: Path, rows: Sequence[TableRow], size: tuple[int, int], classes: WrittenClasses, problems: ProblemList
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


def _check_pixels(path: Path, rows: Sequence[TableRow]) -> None:
    """Raises where all boxes are shares of the image's size, which would be boxes of a pixel that nothing overlaps."""
    numbers = [number for row in rows for text in row.box if (number := finite_number(text)) is not None]
    if numbers and all(0 <= number <= 1 for number in numbers) and not all(map(float.is_integer, numbers)):
        raise DatasetError(f"{path}:{rows[0].line}: all boxes are between 0 and 1; they must be in pixels")


def _number(text: str) -> float | str:
    """A number, or the text where it is none."""
    number = finite_number(text)
    return (text or "nothing") if number is None else number


def _name(path: Path) -> str:
    """The folder, and the file where it is not the only one of its kind."""
    folder = path.absolute().parent.name
    return folder if path.name == LABELS else f"{folder}/{path.stem}"
