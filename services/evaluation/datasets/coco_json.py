"""Reads files in COCO's format (https://cocodataset.org/#format-data): boxes, areas, crowds, polygons, run lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeGuard, cast

from models.errors import ImageError
from models.training.data_folder import DataFolder
from services.evaluation.datasets.json_places import element_lines
from services.evaluation.datasets.label_problems import ProblemList, Report
from services.evaluation.datasets.labelled_boxes import Box, box_area, checked_box, is_number
from services.evaluation.datasets.labelled_photos import LabelledPhotos, PhotoRows
from services.evaluation.datasets.object_table import LabelledObject
from services.evaluation.datasets.photo_files import is_there, photo_size
from services.evaluation.datasets.segment_checks import checked_segment, segment_area, segment_box
from services.evaluation.datasets.text_files import parse_json, read_text
from services.evaluation.samples import DatasetError, Kind, ProblemKind

ANNOTATION_FILES: Final = ("instances_val.json", "instances.json")
"""In a folder, the first of them that is there is read."""

_SECTIONS: Final = ("images", "annotations", "categories")
_PREFIX: Final = "instances_"
_TRIED_PHOTOS: Final = 20


def is_coco(document: Any) -> TypeGuard[dict[str, Any]]:
    """Tells whether a JSON document is in this format."""
    return all(isinstance(_value(document, key), list) for key in _SECTIONS[:2])


def read_coco(
    path: Path, kind: Kind, limit: int | None = None, folder: Path | None = None, allow_outside: bool = False
) -> LabelledPhotos:
    """Reads a file; see `read_coco_document`."""
    text = read_text(path)
    return read_coco_document(path, text, parse_json(path, text), kind, limit, folder, allow_outside)


def read_coco_document(
    path: Path,
    text: str,
    document: Any,
    kind: Kind,
    limit: int | None = None,
    folder: Path | None = None,
    allow_outside: bool = False,
) -> LabelledPhotos:
    """Reads a file that was parsed.

    Photos that say `"has_masks": false` are no part of a set that is read for masks.

    Args:
        path: Of the file.
        text: It holds; gone through again only for the lines of problems.
        document: The same, parsed.
        kind: `detection`, `instance` or `semantic`.
        limit: So many photos, from the first.
        folder: With the photos; looked for beside the file where None.

    Raises:
        DatasetError: It cannot be used at all.
    """
    if kind == "classification":
        raise DatasetError(f"{path}: objects have boxes, and an image has no one class; a classifier is measured on"
                           " folders by class, a CSV file, or labels.json")  # fmt: skip
    if not is_coco(document) or not isinstance(document.get("categories"), list):
        raise DatasetError(f"{path}: not in COCO's format: there must be lists of {', '.join(_SECTIONS)}")
    data = DataFolder(*[path.parent, *filter(None, [folder])], allow_outside=allow_outside)
    return _Reader(path, kind, document, text, data).read(limit, folder)


class _Reader:
    """One reading of one file."""

    def __init__(self, path: Path, kind: Kind, document: Mapping[str, Any], text: str, data: DataFolder) -> None:
        self.path, self.document, self.text, self.data = path, document, text, data
        self.kind: Kind = kind
        self.found: list[tuple[ProblemKind, str, int, str]] = []
        self.classes: dict[int, int] = {}

    def read(self, limit: int | None, folder: Path | None) -> LabelledPhotos:
        names = self._categories()
        folder = folder or _photo_folder(self.path, self.document["images"])
        problems = ProblemList()
        rows = PhotoRows(dataset_name(self.path), self.kind, folder, tuple(names.values()), tuple(names), problems)
        seen: set[int] = set()
        annotations = self._by_image()
        for index, row in enumerate(self.document["images"]):
            if limit is not None and len(rows) >= limit:
                break
            self._add_photo(rows, row, annotations, self._report("images", index), seen)
        self._move_problems(problems)
        return rows.photos()

    def _report(self, section: str, index: int) -> Report:
        return lambda kind, message: self.found.append((kind, section, index, message))

    def _move_problems(self, problems: ProblemList) -> None:
        lines = {
            section: element_lines(self.text, section, {index for _, of, index, _ in self.found if of == section})
            for section in {section for _, section, _, _ in self.found}
        }
        for kind, section, index, message in self.found:
            line = lines[section].get(index)
            problems.add(kind, self.path, line, f"{section}[{index}]: {message}")

    def _categories(self) -> dict[int, str]:
        """Names by number, ascending."""
        names: dict[int, str] = {}
        for index, row in enumerate(self.document["categories"]):
            report = self._report("categories", index)
            number, name = _value(row, "id"), _value(row, "name")
            if not _is_whole(number) or not isinstance(name, str):
                report("unreadable", "a category needs a whole number as its id, and a name")
            elif number in names:
                report("duplicate", f"the id {number} is that of {names[number]!r}, too; the first stays")
            else:
                names[number] = name
        if not names:
            raise DatasetError(f"{self.path}: no categories")
        names = dict(sorted(names.items()))
        self.classes = {number: index for index, number in enumerate(names)}
        return names

    def _by_image(self) -> dict[int, list[int]]:
        """Indices of annotations by the id of their image."""
        known = {number for row in self.document["images"] if _is_whole(number := _value(row, "id"))}
        grouped: dict[int, list[int]] = {}
        for index, row in enumerate(self.document["annotations"]):
            image_id = _value(row, "image_id")
            if _is_whole(image_id) and image_id in known:
                grouped.setdefault(image_id, []).append(index)
            elif not isinstance(row, dict):
                self._report("annotations", index)("unreadable", "an annotation is an object")
            else:
                self._report("annotations", index)("missing_file", f"there is no image with the id {image_id!r}")
        return grouped

    def _add_photo(
        self, rows: PhotoRows, row: Any, annotations: Mapping[int, Sequence[int]], report: Report, seen: set[int]
    ) -> None:
        if self.kind != "detection" and _value(row, "has_masks") is False:
            return
        image_id, file = _value(row, "id"), _value(row, "file_name")
        if not _is_whole(image_id) or not isinstance(file, str) or not file:
            report("unreadable", "an image needs a whole number as its id, and a file_name")
            return
        if image_id in seen:
            report("duplicate", f"the id {image_id} is that of another image, too; the first stays")
            return
        seen.add(image_id)
        if not is_there(rows.folder / file):
            report("missing_file", f"there is no {rows.folder / file}")
            return
        size = _size(row, rows.folder / file, report)
        objects = None if size is None else self._objects(annotations.get(image_id, ()), size)
        if size is not None and objects is not None:
            rows.add(file, image_id, size, objects)

    def _objects(self, indices: Sequence[int], size: tuple[int, int]) -> list[LabelledObject] | None:
        """The objects of a photo; None where masks are wanted and one of them has none."""
        rows = [(self.document["annotations"][index], self._report("annotations", index)) for index in indices]
        if self.kind != "detection":
            for row, report in rows:
                if not row.get("segmentation") and not row.get("iscrowd"):
                    report("no_mask", "the object has no segmentation; its image was left out")
                    return None
        objects = [self._object(row, size, report) for row, report in rows]
        return [item for item in objects if item is not None]

    def _object(self, row: Mapping[str, Any], size: tuple[int, int], report: Report) -> LabelledObject | None:
        category = row.get("category_id")
        if not _is_whole(category) or category not in self.classes:
            report("unknown_class", f"there is no category with the id {category!r}")
            return None
        segment, area = row.get("segmentation") or None, _area(row)
        if segment is not None and (self.kind != "detection" or area is None or not row.get("bbox")):
            segment = checked_segment(segment, size, report)
            if segment is None and self.kind != "detection":
                return None
        corners = _corners(row, segment, size, report)
        box = None if corners is None else checked_box(corners, size, report)
        if box is None:
            return None
        if area is None:
            area = box_area(box) if segment is None else segment_area(segment, size)
        if box != corners:
            area = min(area, box_area(box))
        return LabelledObject(box, self.classes[category], area, bool(row.get("iscrowd")), segment)


def _area(row: Mapping[str, Any]) -> float | None:
    """What the file says; None where it says nothing that can be."""
    area: Any = row.get("area")
    return float(area) if is_number(area) and area > 0 else None


def _corners(row: Mapping[str, Any], segment: Any, size: tuple[int, int], report: Report) -> Box | None:
    """The box as its corners; that of the mask where the file has none."""
    box: Any = row.get("bbox")
    if not box and segment is not None:
        return segment_box(segment, size)
    if not isinstance(box, list) or len(cast(list[Any], box)) != 4 or not all(map(is_number, cast(list[Any], box))):
        report("bad_number", f"the bbox {str(row.get('bbox'))[:60]} is not four finite numbers: x, y, width, height")
        return None
    x, y, width, height = cast(list[float], box)
    return float(x), float(y), float(x + width), float(y + height)


def _size(row: Mapping[str, Any], path: Path, report: Report) -> tuple[int, int] | None:
    height: Any = row.get("height")
    width: Any = row.get("width")
    if height is None and width is None:
        try:
            return photo_size(path)
        except (OSError, ImageError) as error:
            report("unreadable", f"{path}: {error}")
            return None
    if not _is_length(height) or not _is_length(width):
        report("bad_number", f"the height {height!r} and the width {width!r} are no size of an image")
        return None
    return int(height), int(width)


def _photo_folder(path: Path, rows: Sequence[Any]) -> Path:
    """Where the photos are, by the first few: beside the file, or where COCO's own archives put them."""
    split = path.stem.removeprefix(_PREFIX)
    above = path.absolute().parent.parent
    folders = [path.parent / "images", path.parent, above / split, above / "images" / split, above / "images"]
    files = [file for row in rows[:_TRIED_PHOTOS] if isinstance(file := _value(row, "file_name"), str)]
    for folder in folders:
        if any(is_there(folder / file) for file in files):
            return folder
    if not rows:
        raise DatasetError(f"{path}: no images")
    looked = ", ".join(f"{folder}/" for folder in folders)
    raise DatasetError(f"{path}: the photos, such as {files[0] if files else '?'}, are in none of {looked};"
                       f" give their folder as {path}:FOLDER")  # fmt: skip


def dataset_name(path: Path) -> str:
    """Folder and split of an annotation file, such as `person/val`."""
    folder = path.absolute().parent
    folder = folder.parent if folder.name == "annotations" else folder
    split = path.stem.removeprefix(_PREFIX)
    return folder.name if split == "instances" else f"{folder.name}/{split}"


def _value(row: Any, key: str) -> Any:
    return cast(dict[str, Any], row).get(key) if isinstance(row, dict) else None


def _is_length(value: Any) -> TypeGuard[float]:
    return is_number(value) and value == int(value) and 1 <= value < 2**31


def _is_whole(value: Any) -> TypeGuard[int]:
    """Whether it is a whole number that an array of 64 bits holds."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
