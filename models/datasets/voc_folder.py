"""Finds photos, XML files and lists of a Pascal VOC data set, where VOC, CVAT, Label Studio and LabelImg put them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from models.datasets.data_folder import DataFolder
from models.datasets.folder_names import files_below, files_in, stem_below, sub_folder
from models.datasets.folders import image_files
from models.datasets.label_problems import ProblemList
from models.datasets.read_options import SPLIT_FOLDERS, NoSplit, Split
from models.datasets.samples import DatasetError
from models.datasets.text_files import read_text

ANNOTATIONS: Final = "Annotations"
CLASS_MAPS: Final = "SegmentationClass"
PHOTOS: Final = ("JPEGImages", "images")

_UNSPLIT: Final = "default"
"""CVAT's list in `ImageSets/Main` of what is in no subset."""

_FLAGS: Final = ("1", "0", "-1")
"""May stand behind a name in lists of one class (VOC2012 development kit, section 4.1)."""


class ListedPhoto(NamedTuple):
    """A photo that is named: by a line of a list, or by the file of its labels, which has no line."""

    stem: str
    file: Path
    line: int | None


class StemIndex(dict[str, Path]):
    """Files by their stems: the path below their place without suffix, such as `b/1` for `JPEGImages/b/1.jpg`."""

    def of(self, stem: str) -> Path | None:
        """Finds the file of a stem.

        Where one of the two lies in a folder and the other in none, as in `annotations/xmls/1.xml` with
        `images/1.jpg`, the name alone decides, if only one file has it.
        """
        if stem in self:
            return self[stem]
        folder, _, name = stem.rpartition("/")
        if folder:
            return self.get(name)
        found = self._named.get(name, [])
        return found[0] if len(found) == 1 else None

    @cached_property
    def _named(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for stem, path in self.items():
            found.setdefault(stem.rpartition("/")[2], []).append(path)
        return found


@dataclass(frozen=True)
class VocFolder:
    """The files of a Pascal VOC data set.

    Attributes:
        root: The folder.
        photos: Image files.
        annotations: XML files.
        data: The folders that all files must be below.
        wanted: Which photos.
        split: The folder of these within those of photos and labels; empty where there are no folders of splits.
    """

    root: Path
    photos: StemIndex
    annotations: StemIndex
    data: DataFolder
    wanted: Split
    split: str = ""


def find_voc(root: Path, data: DataFolder, wanted: Split, problems: ProblemList) -> VocFolder:
    """Looks through a folder.

    Args:
        root: With `Annotations/` and `JPEGImages/` or `images/`, in upper or lower case; or with XML files and photos
            beside each other.
        data: The folders that files and links must be below.
        wanted: Which photos.
        problems: Receives photos whose names differ in their suffix only.

    Raises:
        DatasetError: There are no photos, or one leads outside the folder.
    """
    labels, place = sub_folder(root, ANNOTATIONS), sub_folder(root, *PHOTOS)
    annotations = files_below(labels or root, ".xml")
    if place is not None:
        photos = image_files(place)
    elif labels is None and not (root / CLASS_MAPS).is_dir():
        photos = image_files(root)
    else:
        photos = (path for path in image_files(root) if path.parent == root)
    by_stem = _by_stem(data.checked(photos), place or root, problems)
    if not by_stem:
        raise DatasetError(f"{root}: no photos in {'/ or '.join(PHOTOS)}/, nor beside the labels")
    stems = StemIndex({stem_below(path, labels or root): path for path in data.checked(annotations)})
    split = "" if (root / "ImageSets").is_dir() else _split_of(root, stems, wanted)
    if split:
        by_stem, stems = (
            StemIndex(item for item in of.items() if item[0].startswith(split)) for of in (by_stem, stems)
        )
    return VocFolder(root, by_stem, stems, data, wanted, split.rstrip("/"))


def _split_of(root: Path, stems: Iterable[str], wanted: Split) -> str:
    """The folder of a split, as `val/`, where all labels lie in folders of splits; empty where they do not."""
    folders = {stem.partition("/")[0] if "/" in stem else "" for stem in stems}
    if not folders or not folders <= set(SPLIT_FOLDERS):
        return ""
    split = next((name for name in wanted.all_names if name in folders), None)
    if split is None:
        raise NoSplit(f"{root}: no labels in {' or '.join(wanted.names)}")
    return f"{split}/"


def has_voc(folder: Path) -> bool:
    """Whether a folder looks like Pascal VOC: XML files, or class masks."""
    labels = sub_folder(folder, ANNOTATIONS)
    has_xml = labels is not None and next(files_below(labels, ".xml"), None) is not None
    return has_xml or (folder / CLASS_MAPS).is_dir() or bool(voc_files_beside(folder))


def voc_files_beside(folder: Path) -> list[Path]:
    """XML files of a folder that have the name of a photo beside them."""
    files = files_in(folder, ".xml")
    stems = {path.stem for path in image_files(folder) if path.parent == folder} if files else set[str]()
    return [path for path in files if path.stem in stems]


def listed_photos(folder: VocFolder, sets: str, labelled: Mapping[str, Path]) -> tuple[list[ListedPhoto], str]:
    """Names the photos to be read.

    Args:
        folder: The data set.
        sets: The folder of lists in `ImageSets`.
        labelled: Labels by stem, which are read where there is no list.

    Returns:
        Those of the list, or else of all labels, and the name of the data set.

    Raises:
        NoSplit: There is no list, and photos of no split are not wanted.
    """
    name, known = folder.root.absolute().name, {*labelled, *folder.photos}
    for split in (*folder.wanted.names, *([_UNSPLIT] if folder.wanted.unsplit else [])):
        path = folder.root / "ImageSets" / sets / f"{split}.txt"
        if path.is_file():
            lines = enumerate(read_text(folder.data.check(path, str(path))).splitlines(), 1)
            listed = [ListedPhoto(_listed_stem(line, known), path, number) for number, line in lines if line.strip()]
            return listed, f"{name}/{split}"
    if not folder.split and not folder.wanted.unsplit:
        raise NoSplit(f"{folder.root}: no list ImageSets/{sets}/{folder.wanted.names[0]}.txt")
    name = f"{name}/{folder.split}" if folder.split else name
    return [ListedPhoto(stem, path, None) for stem, path in labelled.items()], name


def present_photos(
    folder: VocFolder, listed: Sequence[ListedPhoto], problems: ProblemList
) -> Iterator[tuple[str, Path]]:
    """Gives stems and photos of those that are there, each once."""
    seen: set[Path] = set()
    for stem, file, line in listed:
        photo = folder.photos.of(stem)
        if photo is None:
            problems.add("missing_file", file, line, f"there is no photo of the name {stem!r}")
        elif photo in seen:
            problems.add("duplicate", file, line, f"the photo {photo.name} was there before")
        else:
            seen.add(photo)
            yield stem, photo


def _listed_stem(line: str, known: set[str]) -> str:
    """The photo of a line: a name, which may have spaces, a suffix or folders, and perhaps a flag behind it."""
    text = line.strip()
    name, _, flag = text.rpartition(" ")
    for candidate in (text, name.strip() if flag in _FLAGS else text):
        stem = candidate.replace("\\", "/").removeprefix("./")
        for found in (stem, stem.rpartition(".")[0], Path(stem).name, Path(stem).stem):
            if found in known:
                return found
    return name.strip() if flag in _FLAGS else text


def _by_stem(photos: Iterable[Path], place: Path, problems: ProblemList) -> StemIndex:
    found = StemIndex()
    for path in photos:
        first = found.setdefault(stem_below(path, place), path)
        if first != path:
            problems.add("duplicate", path, None, f"has the name of {first.name}, which is read, with another suffix")
    return found
