"""Reads files in COCO's format (https://cocodataset.org/#format-data): boxes, areas, crowds, masks, key points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final, TypeGuard, cast

from models.datasets.coco_members import shown, whole_number
from models.datasets.coco_objects import has_mask, read_object
from models.datasets.coco_places import dataset_name, photo_folder
from models.datasets.coco_sizes import read_size
from models.datasets.coco_skeletons import read_points, read_skeleton
from models.datasets.data_folder import DataFolder
from models.datasets.json_places import element_lines
from models.datasets.key_points import BODY_SHARE
from models.datasets.label_problems import ProblemList, Report
from models.datasets.labelled_photos import LabelledPhotos, PhotoRows
from models.datasets.object_table import LabelledObject
from models.datasets.read_options import WITH_MASKS, ReadOptions
from models.datasets.samples import DatasetError, ProblemKind
from models.datasets.text_files import parse_json, read_text
from models.entries.skeletons import Skeleton

_SECTIONS: Final = ("images", "annotations", "categories")


def is_coco(document: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a JSON document is in this format."""
    return all(isinstance(_value(document, key), list) for key in _SECTIONS[:2])


def read_coco(path: Path, options: ReadOptions, folder: Path | None = None) -> LabelledPhotos:
    """Reads a file; see `read_coco_document`."""
    text = read_text(path)
    return read_coco_document(path, text, parse_json(path, text), options, folder)


def read_coco_document(
    path: Path,
    text: str,
    document: Any,
    options: ReadOptions,
    folder: Path | None = None,
) -> LabelledPhotos:
    """Reads a file that was parsed.

    Photos that say `"has_masks": false` have boxes only.

    Args:
        path: Of the file.
        text: It holds; gone through again only for the lines of problems.
        document: The same, parsed.
        options: For `detection`, `keypoints`, `instance` or `semantic`.
        folder: With the photos; looked for beside the file where None.

    Raises:
        DatasetError: It cannot be used at all, or names a photo outside the data folder.
    """
    if options.kind == "classification":
        raise DatasetError(f"{path}: objects have boxes, and an image has no one class; a classifier is measured on"
                           " folders by class, a CSV file, or labels.json")  # fmt: skip
    if not is_coco(document) or not isinstance(document.get("categories"), list):
        raise DatasetError(f"{path}: not in COCO's format: there must be lists of {', '.join(_SECTIONS)}")
    return _Reader(path, options, document, text).read(folder)


class _Reader:
    """Reads one annotation file."""

    def __init__(self, path: Path, options: ReadOptions, document: Mapping[str, Any], text: str) -> None:
        self.path, self.options, self.document, self.text = path, options, document, text
        self.for_masks = options.kind in WITH_MASKS
        self.skeleton: Skeleton | None = None
        self.left_out: Set[int] = frozenset()
        self.found: list[tuple[ProblemKind, str, int, str]] = []
        self.classes: dict[int, int] = {}
        self.image_ids: set[int] = set()
        self.photos: dict[Path, int] = {}

    def read(self, folder: Path | None) -> LabelledPhotos:
        names, allow_outside = self._categories(), self.options.allow_outside
        if folder is None:
            files = [file for row in self.document["images"] if isinstance(file := _value(row, "file_name"), str)]
            folder, data = photo_folder(self.path, files, allow_outside)
        else:
            data = DataFolder(self.path.parent, folder, allow_outside=allow_outside)
        problems = ProblemList()
        name = dataset_name(self.path)
        rows = PhotoRows(
            name, self.options, folder, tuple(names.values()), tuple(names), problems, skeleton=self.skeleton
        )
        annotations = self._by_image()
        for index, row in enumerate(self.document["images"]):
            if self.options.enough(len(rows)):
                break
            self._add_photo(rows, data, index, row, annotations)
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
            number, name = whole_number(_value(row, "id")), _class_name(_value(row, "name"))
            if number is None or name is None:
                report("unreadable", "a category needs a whole number as its id, and a name")
            elif number in names:
                report("duplicate", f"the id {number} is that of {names[number]!r}, too; the first stays")
            else:
                names[number] = name
        if not names:
            raise DatasetError(f"{self.path}: no categories")
        names = dict(sorted(names.items()))
        if self.options.kind == "keypoints":
            self.skeleton, posed = read_skeleton(self.path, self.document["categories"])
            self.left_out = names.keys() - posed
            names = {number: name for number, name in names.items() if number in posed}
        self.classes = {number: index for index, number in enumerate(names)}
        return names

    def _by_image(self) -> dict[int, list[int]]:
        """Indices of annotations by the id of their image; of one that is there twice, the first."""
        known = {whole_number(_value(row, "id")) for row in self.document["images"]} - {None}
        grouped: dict[int, list[int]] = {}
        first: dict[int, int] = {}
        for index, row in enumerate(self.document["annotations"]):
            written = _value(row, "image_id")
            image_id, number = whole_number(written), whole_number(_value(row, "id"))
            if not isinstance(row, dict):
                self._report("annotations", index)("unreadable", "an annotation is an object")
            elif image_id is None or image_id not in known:
                self._report("annotations", index)("missing_file", f"there is no image with the id {shown(written)}")
            elif number is not None and self._is_same(first.setdefault(number, index), index):
                self._report("annotations", index)("duplicate", f"the same as annotations[{first[number]}]")
            else:
                grouped.setdefault(image_id, []).append(index)
        return grouped

    def _is_same(self, first: int, index: int) -> bool:
        rows = self.document["annotations"]
        return first != index and rows[first] == rows[index]

    def _add_photo(
        self, rows: PhotoRows, data: DataFolder, index: int, row: Any, annotations: Mapping[int, Sequence[int]]
    ) -> None:
        if self.for_masks and _value(row, "has_masks") is False and not self.options.for_training:
            return
        report = self._report("images", index)
        image_id, file = whole_number(_value(row, "id")), _value(row, "file_name")
        if image_id is None or not isinstance(file, str) or not file:
            report("unreadable", "an image needs a whole number as its id, and a file_name")
            return
        if image_id in self.image_ids:
            report("duplicate", f"the id {image_id} is that of another image, too; the first stays")
            return
        self.image_ids.add(image_id)
        path = data.find(rows.folder, file) or rows.folder / file
        if not data.holds(path):
            line = element_lines(self.text, "images", {index}).get(index)
            data.check(path, f"{self.path}:{line}: images[{index}]")
        self._add_file(rows, path, image_id, row, annotations.get(image_id, ()), report)

    def _add_file(
        self, rows: PhotoRows, path: Path, image_id: int, row: Mapping[str, Any], own: Sequence[int], report: Report
    ) -> None:
        if self.photos.setdefault(path, image_id) != image_id:
            report("duplicate", f"image {self.photos[path]} is this photo, too, and stays; {len(own)} annotations of"
                                f" image {image_id} were left out with it")  # fmt: skip
            return
        size = read_size(row, path, report)
        if size is None:
            return
        masked = self.for_masks and row.get("has_masks") is not False and self._all_masked(own)
        if self.for_masks and not masked and not self.options.for_training:
            return
        name = path.relative_to(rows.folder).as_posix() if path.is_relative_to(rows.folder) else str(path)
        rows.add(name, image_id, size, self._objects(own, size, masked), masked=masked)

    def _all_masked(self, indices: Sequence[int]) -> bool:
        """Whether all objects of a photo have masks; reports the first that has none where its photo is left out."""
        first = next((index for index in indices if not has_mask(self.document["annotations"][index])), None)
        if first is not None and not self.options.for_training:
            self._report("annotations", first)("no_mask", "the object has no segmentation; its image was left out")
        return first is None

    def _objects(self, indices: Sequence[int], size: tuple[int, int], masked: bool) -> list[LabelledObject]:
        rows = [(self.document["annotations"][index], self._report("annotations", index)) for index in indices]
        if self.skeleton is not None:
            return [item for row, report in rows if (item := self._posed(row, size, report)) is not None]
        objects = [read_object(row, self.classes, size, masked, report) for row, report in rows]
        return [item for item in objects if item is not None]

    def _posed(self, row: Mapping[str, Any], size: tuple[int, int], report: Report) -> LabelledObject | None:
        assert self.skeleton is not None
        if whole_number(row.get("category_id")) in self.left_out:
            return None
        points = read_points(row, len(self.skeleton), report)
        item = None if points is None else read_object(row, self.classes, size, False, report)
        if item is None or points is None:
            return None
        whole = 1.0 if row.get("area") or item.segment is not None else BODY_SHARE
        return item._replace(points=points, area=item.area * whole, segment=None)


def _class_name(value: Any) -> str | None:
    """The name of a category, which may be a number: digits are called so."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if isinstance(value, str) or is_number else None


def _value(row: Any, key: str) -> Any:
    return cast(dict[str, Any], row).get(key) if isinstance(row, dict) else None
