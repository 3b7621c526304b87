"""Reads YOLO's text files: `class x y width height` or `class x1 y1 x2 y2 …`, as shares of the image's size.

The format of Ultralytics (https://docs.ultralytics.com/datasets/detect/ and …/segment/): a photo in `images/` has a
file of the same name in `labels/` with a line for every object; a photo without one shows none. `data.yaml` names the
classes and says where the photos of `val` are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import yaml

from models.training.data_folder import DataFolder
from models.training.folders import image_files
from services.evaluation.datasets.label_problems import ProblemList, Report
from services.evaluation.datasets.labelled_boxes import Box, box_area, checked_box
from services.evaluation.datasets.labelled_photos import LabelledPhotos, PhotoRows
from services.evaluation.datasets.object_table import LabelledObject
from services.evaluation.datasets.photo_files import is_folder, is_there, photo_sizes
from services.evaluation.datasets.segment_checks import checked_segment, segment_area, segment_box
from services.evaluation.datasets.text_files import names_in, read_text
from services.evaluation.samples import DatasetError, Kind

SETTINGS: Final = ("data.yaml", "data.yml", "dataset.yaml")
"""In a folder, the first of them that is there is read."""

PLACES: Final = ("images/val", "val/images", "valid/images", "images")
"""Where the photos are, where the settings do not say so; the labels are below `labels` in the place of `images`."""

_CLASSES: Final = "classes.txt"
_BOX_NUMBERS: Final = 4
_DECIMALS: Final = 3  # of a pixel: finer than masks are drawn, and half as long as all digits


@dataclass(frozen=True)
class _Layout:
    """Which photos there are, and which classes."""

    name: str
    folder: Path
    photos: Sequence[Path]
    class_names: Mapping[int, str]


def read_yolo(path: Path, kind: Kind, limit: int | None = None, allow_outside: bool = False) -> LabelledPhotos:
    """Reads a folder, or the data set of a settings file.

    Args:
        path: The folder, or its `data.yaml`.
        kind: `detection`, `instance` or `semantic`.
        limit: So many photos, from the first by name.
        allow_outside: Whether its labels may name files outside the data folder.

    Raises:
        DatasetError: It cannot be used at all.
    """
    if kind == "classification":
        raise DatasetError(
            f"{path}: YOLO's text files are labels of objects; a classifier is measured on folders by class"
        )
    layout = _layout(path)
    data = DataFolder(path if path.is_dir() else path.parent, allow_outside=allow_outside)
    data.checked([*layout.photos, *map(_label_of, layout.photos)])
    folders = sorted({_label_of(photo).parent for photo in layout.photos})
    if not any(map(is_folder, folders)):
        raise DatasetError(f"{path}: no labels; looked in {', '.join(map(str, folders[:5]))}")
    problems = ProblemList()
    numbers = {number: index for index, number in enumerate(layout.class_names)}
    names, categories = tuple(layout.class_names.values()), tuple(layout.class_names)
    rows = PhotoRows(layout.name, kind, layout.folder, names, categories, problems)
    for image_id, (photo, size) in enumerate(zip(layout.photos, photo_sizes(layout.photos), strict=True), 1):
        if limit is not None and len(rows) >= limit:
            break
        if isinstance(size, str):
            problems.add("missing_file" if not is_there(photo) else "unreadable", photo, None, size)
            continue
        objects = _objects(_label_of(photo), size, numbers, kind, problems)
        if objects is not None:
            rows.add(_below(photo, layout.folder), image_id, size, objects)
    if limit is None:
        _report_strays(layout.photos, problems)
    return rows.photos()


def _objects(
    path: Path, size: tuple[int, int], classes: Mapping[int, int], kind: Kind, problems: ProblemList
) -> list[LabelledObject] | None:
    """The objects of a photo, none where it has no file; None where it cannot be used."""
    if not path.is_file():
        return []
    try:
        lines = read_text(path).splitlines()
    except DatasetError as error:
        problems.add("unreadable", path, None, str(error))
        return None
    objects: list[LabelledObject] = []
    seen: dict[tuple[str, ...], int] = {}
    for line, words in enumerate(map(str.split, lines), 1):
        report = problems.at(path, line)
        if not words:
            continue
        if kind != "detection" and len(words) == _BOX_NUMBERS + 1:
            report("no_mask", "the object has a box and no polygon; its photo was left out")
            return None
        if seen.setdefault(tuple(words), line) != line:
            report("duplicate", f"the same as line {seen[tuple(words)]}")
            continue
        found = _object(words, size, classes, report)
        if found is not None:
            objects.append(found if kind != "detection" else found._replace(segment=None))
    return objects


def _object(
    words: Sequence[str], size: tuple[int, int], classes: Mapping[int, int], report: Report
) -> LabelledObject | None:
    try:
        number, *shares = map(float, words)
    except ValueError:
        report("bad_number", f"{' '.join(words)[:60]!r} are not all numbers")
        return None
    if number not in classes:
        report("unknown_class", f"there is no class {words[0]}; classes are {min(classes)} to {max(classes)}")
        return None
    class_id, (height, width) = classes[int(number)], size
    if len(shares) == _BOX_NUMBERS:
        x, y, w, h = shares
        corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        box = checked_box(corners, size, report)
        return None if box is None else LabelledObject(box, class_id, box_area(box))
    if len(shares) < _BOX_NUMBERS or len(shares) % 2:
        report("unreadable", f"{len(words)} numbers are neither a box (5) nor a polygon (an odd number, 7 or more)")
        return None
    polygon = [
        round(share * side, _DECIMALS) for share, side in zip(shares, (width, height) * len(shares), strict=False)
    ]
    segment = checked_segment([polygon], size, report)
    box = None if segment is None else _box_around(segment, size, report)
    return None if box is None else LabelledObject(box, class_id, segment_area(segment, size), segment=segment)


def _box_around(segment: Any, size: tuple[int, int], report: Report) -> Box | None:
    return checked_box(segment_box(segment, size), size, report)


def _layout(path: Path) -> _Layout:
    root = path if path.is_dir() else path.parent
    file = path if path.is_file() else next((path / name for name in SETTINGS if (path / name).is_file()), None)
    settings: Mapping[str, Any] = {} if file is None else _settings(file)
    names = _class_names(root, file, settings)
    name = root.absolute().name
    if file is not None and settings.get("val"):
        return _Layout(f"{name}/val", root, _val_photos(file, settings), names)
    for place in PLACES:
        photos = list(image_files(root / place)) if (root / place).is_dir() else []
        if photos:
            return _Layout(f"{name}/val" if "val" in place else name, root, photos, names)
    raise DatasetError(f"{path}: no photos; looked in {', '.join(PLACES)}, and for `val:` in {SETTINGS[0]}")


def _settings(file: Path) -> Mapping[str, Any]:
    try:
        settings: Any = yaml.safe_load(read_text(file))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(settings, dict):
        raise DatasetError(f"{file}: there must be names of classes, and `val:`")
    return cast(Mapping[str, Any], settings)


def _class_names(root: Path, file: Path | None, settings: Mapping[str, Any]) -> dict[int, str]:
    names: Any = settings.get("names")
    if isinstance(names, list):
        names = dict(enumerate(cast(list[Any], names)))
    if isinstance(names, dict) and names and all(isinstance(key, int) for key in cast(dict[Any, Any], names)):
        return {int(key): str(value) for key, value in sorted(cast(dict[int, Any], names).items())}
    if (root / _CLASSES).is_file() and (found := names_in(root / _CLASSES)):
        return dict(enumerate(found))
    looked = f"`names:` in {file or SETTINGS[0]}"
    raise DatasetError(f"{root}: nothing names the classes; looked for {looked} and {_CLASSES}, a name a line")


def _val_photos(file: Path, settings: Mapping[str, Any]) -> list[Path]:
    """The photos of `val:`, a folder, a list of files, or several of these, below `path:` or the settings."""
    value, stated = settings["val"], str(settings.get("path") or ".")
    places = [str(place) for place in (cast(list[Any], value) if isinstance(value, list) else [value])]
    here = file.absolute().parent
    tried: list[Path] = []
    for root in (here / stated, Path.cwd() / stated, here):
        for strip in ("", "../"):  # Roboflow's exports say `../valid/images` of what is beside the settings
            found = [root / place.removeprefix(strip) for place in places]
            if all(is_folder(place) or is_there(place) for place in found):
                return [photo for place in found for photo in _photos_of(place)]
            tried += [place for place in found if place not in tried]
    raise DatasetError(f"{file}: nothing at `val: {value}`; looked for {', '.join(map(str, tried))}")


def _photos_of(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from image_files(place)
        return
    for name in names_in(place):
        yield place.parent / name


def _label_of(photo: Path) -> Path:
    """`labels` in the place of the last `images` of the path."""
    parts = list(photo.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            return Path(*parts[:index], "labels", *parts[index + 1 :]).with_suffix(".txt")
    return photo.with_suffix(".txt")


def _report_strays(photos: Sequence[Path], problems: ProblemList) -> None:
    """Labels of photos that are not there."""
    known = {_label_of(photo) for photo in photos}
    for folder in sorted({label.parent for label in known}):
        for path in sorted(folder.glob("*.txt")):
            if path not in known and path.name != _CLASSES:
                problems.add("missing_file", path, None, "there is no photo of this name")


def _below(path: Path, folder: Path) -> str:
    for root in (folder, folder.absolute()):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return str(path)
