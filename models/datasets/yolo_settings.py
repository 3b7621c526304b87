"""Reads the settings of a YOLO data set: Ultralytics' `data.yaml`, darknet's `obj.data`, and files of class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from models.datasets.coco_members import shown, whole_number
from models.datasets.data_folder import DataFolder
from models.datasets.folder_names import files_in, find_below
from models.datasets.key_points import KeyPoints, key_points_of, yolo_skeleton
from models.datasets.read_options import SPLIT_FOLDERS, Split
from models.datasets.samples import DatasetError
from models.datasets.text_files import parse_json, read_text
from models.entries.skeletons import Skeleton
from models.sources.text_documents import DocumentError
from models.sources.yaml_documents import read_yaml

SETTINGS: Final = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
"""In a folder, the first of them that is there is read."""

CLASS_FILES: Final = ("classes.txt", "obj.names", "predefined_classes.txt", "notes.json")
"""Name the classes where settings do not: of LabelImg and Label Studio, of darknet and CVAT, of LabelImg, of Label
Studio."""

_YAML: Final = (".yaml", ".yml")
_DARKNET: Final = ".data"
_MENTIONS: Final = ("names", "nc", *SPLIT_FOLDERS)


@dataclass(frozen=True)
class YoloSettings:
    """The contents of a settings file.

    Attributes:
        file: The file.
        split: The key that names the photos; empty where none of the wanted ones is there.
        places: Folders and lists of photos, as they are written.
        root: What these are below, as `path` says; empty where it does not.
        class_names: By number; empty where it names none.
        key_points: Of a pose data set.
        skeleton: Of its key points.
    """

    file: Path
    split: str
    places: Sequence[str]
    root: str
    class_names: Mapping[int, str]
    key_points: KeyPoints | None
    skeleton: Skeleton | None = None


def settings_files(folder: Path) -> list[Path]:
    """Finds the settings of a folder: a file of `SETTINGS`, or else YAML files that have their keys, or darknet's."""
    named = next((folder / name for name in SETTINGS if (folder / name).is_file()), None)
    if named is not None:
        return [named]
    found = [path for path in files_in(folder, *_YAML) if _looks_like_settings(path)]
    return found or [path for path in files_in(folder, _DARKNET) if _looks_like_darknet(path)]


def settings_file(folder: Path) -> Path | None:
    """Finds the settings of a folder; None where there are none.

    Raises:
        DatasetError: Several files may be meant.
    """
    found = settings_files(folder)
    if len(found) > 1:
        raise DatasetError(f"{folder}: {len(found)} files of settings; name one of {', '.join(map(str, found[:10]))}")
    return found[0] if found else None


def read_settings(file: Path, data: DataFolder, wanted: Split) -> YoloSettings:
    """Reads a file.

    Args:
        file: `data.yaml`, or `obj.data`.
        data: What the files that it names must be below.
        wanted: Which photos.

    Raises:
        DatasetError: It is no file of settings.
    """
    if file.suffix.lower() == _DARKNET:
        return _read_darknet(file, data, wanted)
    settings = _parsed(file)
    names = _names(file, settings.get("names"), settings.get("nc"))
    points = key_points_of(file, settings.get("kpt_shape"))
    split = next((key for key in wanted.all_names if settings.get(key)), "")
    value = settings.get(split)
    places = [str(place) for place in (cast(list[Any], value) if isinstance(value, list) else [value]) if place]
    skeleton = None
    if points is not None and points.points:
        skeleton = yolo_skeleton(file, points, settings.get("kpt_names"), settings.get("flip_idx"))
    return YoloSettings(file, split, places, str(settings.get("path") or ""), names, points, skeleton)


def names_of_file(path: Path) -> dict[int, str]:
    """Reads names of classes by number: a name a line, or the `categories` of Label Studio's `notes.json`.

    An empty line is a number without a class: those behind it keep their numbers.

    Raises:
        DatasetError: It cannot be read.
    """
    text = read_text(path)
    if path.suffix.lower() != ".json":
        return {number: name.strip() for number, name in enumerate(text.splitlines()) if name.strip()}
    document = parse_json(path, text)
    rows = cast(dict[str, Any], document).get("categories") if isinstance(document, dict) else None
    try:
        numbers = {whole_number(row["id"]): str(row["name"]) for row in cast(list[Any], rows)}
    except (TypeError, KeyError):
        numbers = {None: ""}
    found = {number: name for number, name in numbers.items() if number is not None}
    if len(found) < len(numbers):
        raise DatasetError(f"{path}: no list of categories with id and name")
    return found


def _looks_like_settings(path: Path) -> bool:
    try:
        return not {"names", "nc"}.isdisjoint(_parsed(path))
    except DatasetError:
        return False


def _looks_like_darknet(path: Path) -> bool:
    try:
        return "names" in _darknet_lines(path)
    except DatasetError:
        return False


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        settings: Any = read_yaml(file)
    except DocumentError as error:
        raise DatasetError(str(error)) from None
    if not isinstance(settings, dict):
        raise DatasetError(f"{file}: there must be names of classes, and `val:`")
    return cast(Mapping[str, Any], settings)


def _names(file: Path, names: Any, count: Any) -> dict[int, str]:
    """Names by number, of a list or of a dict whose keys are whole numbers."""
    pairs = enumerate(cast(list[Any], names)) if isinstance(names, list) else None
    if isinstance(names, dict):
        pairs = cast(dict[Any, Any], names).items()
    found: dict[int, str] = {}
    for key, name in pairs or ():
        number = whole_number(key)
        if number is None or number < 0 or number in found:
            raise DatasetError(f"{file}: names: {shown(key)} is not a class number: a whole number from 0 on, once")
        if not isinstance(name, str | int | float) or isinstance(name, bool):
            raise DatasetError(f"{file}: names: that of class {number} is {name!r} to YAML; put it in quotes")
        found[number] = str(name)
    stated = whole_number(count)
    if isinstance(names, list) and found and stated is not None and stated != len(found):
        raise DatasetError(f"{file}: nc is {stated}, and there are {len(found)} names")
    return dict(sorted(found.items()))


def _read_darknet(file: Path, data: DataFolder, wanted: Split) -> YoloSettings:
    settings = _darknet_lines(file)
    if settings.keys().isdisjoint(_MENTIONS):
        raise DatasetError(f"{file}: there must be lines such as `names = obj.names` and `valid = valid.txt`")
    split = next((key for key in wanted.all_names if settings.get(key)), "")
    names = find_below(file.absolute().parent, settings.get("names", ""), data) if settings.get("names") else None
    class_names = {} if names is None else names_of_file(names)
    return YoloSettings(file, split, [settings[split]] if split else [], "", class_names, None)


def _darknet_lines(file: Path) -> dict[str, str]:
    lines = [line.partition("=") for line in read_text(file).splitlines() if not line.lstrip().startswith("#")]
    return {key.strip().lower(): value.strip() for key, equals, value in lines if equals}
