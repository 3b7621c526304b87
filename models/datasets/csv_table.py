"""Reads CSV files as spreadsheets and pandas write them: encodings, separators, names of columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Final, NamedTuple

from models.datasets.label_problems import ProblemList
from models.datasets.samples import DatasetError
from models.datasets.text_files import MOST_BYTES, read_text
from models.sources.text_documents import DocumentError, read_bytes

BOX: Final = ("x_min", "y_min", "x_max", "y_max")
"""Columns of a box."""

_COLUMNS: Final = {
    "file": ("file", "filename", "file_name", "image", "path", "image_path", "filepath"),
    "class": ("class", "class_name", "class_id", "label", "category"),
    "x_min": ("x_min", "xmin", "x1", "left"),
    "y_min": ("y_min", "ymin", "y1", "top"),
    "x_max": ("x_max", "xmax", "x2", "right"),
    "y_max": ("y_max", "ymax", "y2", "bottom"),
}
"""Names that a column may have, in any case."""

_SEPARATORS: Final = (",", ";", "\t")


class TableRow(NamedTuple):
    """One line of a table: a file, its class, and, of a table of boxes, a box; empty texts where it has none."""

    line: int
    file: str
    class_name: str
    box: tuple[str, ...] = ()


def csv_rows(path: Path, boxes: bool, problems: ProblemList) -> list[TableRow]:
    """Reads the rows of a CSV file with a header; see `docs/datasets.md`.

    Args:
        path: Of the file.
        boxes: Whether there must be columns of a box.
        problems: Receives invalid rows, and an encoding that was guessed.

    Raises:
        DatasetError: It cannot be read, is no CSV, or lacks a column.
    """
    text = _text(path, problems)
    skipped = 0
    if text.lower().startswith("sep="):  # Excel's own line
        skipped, text = 1, text.partition("\n")[2]
    separator = _separator(text, boxes)
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = next(reader, list[str]())
        places = _places(path, header, boxes)
        rows: list[TableRow] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = reader.line_num + skipped
            if len(cells) != len(header):
                problems.add("unreadable", path, line, f"{len(cells)} columns; the header has {len(header)}")
                continue
            file, class_name, *box = (cells[place].strip() for place in places)
            rows.append(TableRow(line, file, class_name, tuple(box)))
    except csv.Error as error:
        raise DatasetError(f"{path}:{reader.line_num + skipped}: not CSV: {error}") from None
    return rows


def _text(path: Path, problems: ProblemList) -> str:
    """The text of the file; where it is not Unicode, as Windows-1252, which is reported."""
    try:
        return read_text(path)
    except DatasetError as not_unicode:
        try:
            data = read_bytes(path, MOST_BYTES)
            text = data.decode("cp1252")
        except (DocumentError, UnicodeDecodeError):
            raise not_unicode from None
        problems.add("unreadable", path, None, "not UTF-8; it was read as Windows-1252, a guess")
        return text


def _separator(text: str, boxes: bool) -> str:
    """The first separator by which the header has all columns; else a comma."""
    first = text.lstrip("\r\n").splitlines()[:1]
    for separator in _SEPARATORS:
        try:
            header = next(csv.reader(first, delimiter=separator), list[str]())
        except csv.Error:
            continue
        if None not in _found(header, boxes):
            return separator
    return ","


def _found(header: Sequence[str], boxes: bool) -> list[int | None]:
    """The places of the columns that are wanted; None for one that is not there."""
    places = {name.strip().lower(): place for place, name in reversed(list(enumerate(header)))}
    return [
        next((places[name] for name in _COLUMNS[column] if name in places), None)
        for column in ("file", "class", *(BOX if boxes else ()))
    ]


def _places(path: Path, header: Sequence[str], boxes: bool) -> list[int]:
    wanted, places = ("file", "class", *(BOX if boxes else ())), _found(header, boxes)
    missing = [column for column, place in zip(wanted, places, strict=True) if place is None]
    if missing:
        raise DatasetError(f"{path}:1: the header has no {', '.join(missing)}; it must name, with commas between:"
                           f" {','.join(wanted)}")  # fmt: skip
    return [place for place in places if place is not None]
