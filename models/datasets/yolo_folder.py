"""Finds the photos, labels and classes of a YOLO data set, where Ultralytics, darknet, Roboflow, CVAT, Label Studio and
LabelImg put them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.datasets.data_folder import DataFolder, is_file
from models.datasets.folder_names import files_in, find_below
from models.datasets.folders import image_files
from models.datasets.key_points import KeyPoints
from models.datasets.label_problems import ProblemList
from models.datasets.photo_files import is_folder
from models.datasets.read_options import HELD_OUT, SPLIT_FOLDERS, NoSplit, Split
from models.datasets.samples import DatasetError
from models.datasets.text_files import read_text
from models.datasets.yolo_labels import LabelFiles
from models.datasets.yolo_settings import (
    CLASS_FILES,
    SETTINGS,
    YoloSettings,
    names_of_file,
    read_settings,
    settings_file,
    settings_files,
)
from models.entries.skeletons import Skeleton

PLACES: Final = {
    "images/val": "val",
    "val/images": "val",
    "valid/images": "val",
    "images/valid": "val",
    "images/validation": "val",
    "validation/images": "val",
    "obj_valid_data": "val",
    "images/test": "test",
    "test/images": "test",
    "images/train": "train",
    "train/images": "train",
    "images": "",
    "obj_train_data": "",
}
"""Where the photos are, where the settings do not say so, and their split; in the folder itself, too."""


@dataclass(frozen=True)
class YoloFolder:
    """The photos, labels and classes of a YOLO data set.

    Attributes:
        name: Of the data set.
        root: Its folder.
        photos: Image files.
        labels: Their text files.
        class_names: By the number that rows begin with.
        key_points: Of a pose data set.
        skeleton: Of its key points.
    """

    name: str
    root: Path
    photos: Sequence[Path]
    labels: LabelFiles
    class_names: Mapping[int, str]
    key_points: KeyPoints | None
    skeleton: Skeleton | None = None


def find_yolo(path: Path, data: DataFolder, wanted: Split, problems: ProblemList) -> YoloFolder:
    """Looks through a data set.

    Args:
        path: A folder, or its `data.yaml` or `obj.data`.
        data: What photos and labels must be below.
        wanted: Which photos.
        problems: Receives lines of lists that name a missing photo, or one twice.

    Raises:
        DatasetError: There are no photos, no labels, or no names of classes; or some of them lie outside the folder.
        NoSplit: It has no such split.
    """
    root = path if path.is_dir() else path.parent
    file = path if path.is_file() else settings_file(root)
    settings = None if file is None else read_settings(file, data, wanted)
    split, photos = _photos(root, settings, data, wanted, problems)
    if not photos and not wanted.unsplit:
        raise NoSplit(f"{path}: no photos of a split {' or '.join(wanted.names)}")
    if not photos:
        looked = f"looked in {', '.join(PLACES)}, beside text files, and for `val:` in {SETTINGS[0]}"
        raise DatasetError(f"{path}: no photos; {looked}")
    labels = LabelFiles(data.checked(photos), data)
    whole = root.absolute()
    above = [whole.parent] if whole.name in SPLIT_FOLDERS else []
    for folder in above if settings is None else []:
        settings = _of_all_splits(folder)
    names = _class_names([root, root / "labels", *labels.folders, *above], settings)
    name = whole.name
    points, skeleton = (None, None) if settings is None else (settings.key_points, settings.skeleton)
    return YoloFolder(f"{name}/{split}" if split else name, root, photos, labels, names, points, skeleton)


def has_yolo(folder: Path, wanted: Split) -> bool:
    """Whether a folder looks like a YOLO data set with some photos."""
    if settings_files(folder) or yolo_place(folder, wanted) is not None:
        return True
    has_names = any((folder / name).is_file() for name in CLASS_FILES)
    return has_names and bool(_photos_beside(folder))


def yolo_place(folder: Path, wanted: Split) -> str | None:
    """The first of the places of some photos that has text files for them."""
    for place, _ in _places(wanted):
        if is_folder(folder / place) and LabelFiles.any_for(folder / place):
            return place
    return None


def _places(wanted: Split) -> list[tuple[str, str]]:
    """The places of some photos, and their splits."""
    return [(place, split) for place, split in PLACES.items() if (split in wanted.names if split else wanted.unsplit)]


def _photos(
    root: Path, settings: YoloSettings | None, data: DataFolder, wanted: Split, problems: ProblemList
) -> tuple[str, list[Path]]:
    """The split and its photos."""
    if settings is not None and settings.split in wanted.names:
        split = "val" if settings.split in HELD_OUT.names else settings.split
        return split, list(_named_photos(settings, data, problems))
    for place, split in _places(wanted):
        photos = list(image_files(root / place)) if is_folder(root / place) else []
        if photos:
            return split, photos
    if settings is not None and settings.split:
        return settings.split, list(_named_photos(settings, data, problems))
    return "", _photos_beside(root) if wanted.unsplit else []


def _photos_beside(folder: Path) -> list[Path]:
    """Photos of a folder where some have text files beside them."""
    stems = {path.stem for path in files_in(folder, ".txt")}
    photos = [path for path in image_files(folder) if path.parent == folder] if stems else []
    return photos if any(path.stem in stems for path in photos) else []


def _named_photos(settings: YoloSettings, data: DataFolder, problems: ProblemList) -> Iterator[Path]:
    """The photos of all places of the settings, each once."""
    seen: set[Path] = set()
    for place in [_place(settings, name, data) for name in settings.places]:
        if place.is_dir():
            yield from (path for path in image_files(place) if path not in seen and not seen.add(path))
            continue
        for line, name in enumerate(read_text(place).splitlines(), 1):
            if not name.strip():
                continue
            photo = _listed_photo(settings, place, line, name.strip(), data)
            if photo is None:
                problems.add("missing_file", place, line, f"there is no photo {name.strip()[:200]}")
            elif photo in seen:
                problems.add("duplicate", place, line, f"the photo {photo.name} was there before")
            else:
                seen.add(photo)
                yield photo


def _place(settings: YoloSettings, name: str, data: DataFolder) -> Path:
    """The folder or list of settings: below `path`, beside the settings, or by the longest suffix that exists."""
    here, written = settings.file.absolute().parent, name.replace("\\", "/")
    stated = settings.root.replace("\\", "/") or "."
    tried = [here / stated / written, Path.cwd() / stated / written, here / written]
    there = [place for place in tried if is_folder(place) or is_file(place)]
    inside = next((place for place in there if data.holds(place)), None) or find_below(here, written, data)
    if inside is not None:
        return inside
    for place in there:
        data.check(place, f"{settings.file}: `{settings.split}: {name}`")
    looked = ", ".join(str(place)[:200] for place in dict.fromkeys(tried))
    raise DatasetError(f"{settings.file}: nothing at `{settings.split}: {name[:200]}`; looked for {looked}")


def _listed_photo(settings: YoloSettings, file: Path, line: int, name: str, data: DataFolder) -> Path | None:
    """The photo of a line: beside the list, below the settings, or where the end of its name is found."""
    here = settings.file.absolute().parent
    literal = data.find(file.parent, name) or data.find(here / settings.root, name)
    if literal is not None and data.holds(literal):
        return literal
    found = find_below(here, name, data)
    if found is None and literal is not None:
        return data.check(literal, f"{file}:{line}")
    return found


def _of_all_splits(folder: Path) -> YoloSettings | None:
    """The settings beside the folders of splits, where the data set is one of them."""
    file = settings_file(folder)
    return None if file is None else read_settings(file, DataFolder(folder), HELD_OUT)


def _class_names(folders: Sequence[Path], settings: YoloSettings | None) -> Mapping[int, str]:
    if settings is not None and settings.class_names:
        return settings.class_names
    for folder in folders:
        for file in (*(folder / name for name in CLASS_FILES), *files_in(folder, ".names")):
            if is_file(file) and (found := names_of_file(file)):
                return found
    looked = f"`names:` in {SETTINGS[0] if settings is None else settings.file}"
    raise DatasetError(f"{folders[0]}: nothing names the classes; looked for {looked} and {CLASS_FILES[0]}, a name a"
                       " line")  # fmt: skip
