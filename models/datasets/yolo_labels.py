"""Finds the text files of photos: in `labels/` in the place of `images/`, or beside them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from models.datasets.data_folder import DataFolder
from models.datasets.folder_names import files_in, sub_folder
from models.datasets.folders import image_files
from models.datasets.label_problems import ProblemList
from models.datasets.photo_files import is_folder
from models.sources.text_documents import DocumentError, read_text

_PHOTO_FOLDERS: Final = ("images", "jpegimages")
_NO_LABELS: Final = re.compile(r"(classes|predefined_classes|readme.*|train|val|valid|test|trainval|autosplit_.*)\.txt")
"""Text files that tools put among labels: names of classes, lists of photos, a description."""


class LabelFiles:
    """The text files of some photos.

    Args:
        photos: The photos.
        data: The folders that the files must be below.

    Raises:
        DatasetError: One is a link that leads elsewhere.
    """

    def __init__(self, photos: Iterable[Path], data: DataFolder) -> None:
        self._photos: dict[Path, set[str]] = {}
        for photo in photos:
            self._photos.setdefault(photo.parent, set()).add(photo.stem)
        self._folders = {folder: _label_folder(folder) for folder in self._photos}
        stems: dict[Path, set[str]] = {}
        for folder, labels in self._folders.items():
            stems.setdefault(labels, set()).update(self._photos[folder])
        self._files = {labels: _text_files(labels, stems[labels]) for labels in stems}
        for files in self._files.values():
            data.checked(files.values())

    @property
    def folders(self) -> list[Path]:
        """The folders of labels, in alphabetical order."""
        return sorted(self._files)

    @property
    def missing_folders(self) -> list[Path]:
        """Folders of photos for which there is no folder of labels: none of these photos has any."""
        return sorted(folder for folder, labels in self._folders.items() if not is_folder(labels))

    def of(self, photo: Path) -> Path | None:
        """Gives the file of a photo; None where there is none."""
        return self._files[self._folders[photo.parent]].get(photo.stem)

    def any(self) -> bool:
        """Whether any photo has a label file."""
        return any(self._files[labels].keys() & self._photos[folder] for folder, labels in self._folders.items())

    def report_strays(self, problems: ProblemList) -> None:
        """Reports labels of photos that are not there; those of photos that no list names are no fault."""
        strays = {labels: set(files) for labels, files in self._files.items()}
        for folder, labels in self._folders.items():
            strays[labels] -= self._photos[folder]
        for folder, labels in self._folders.items():
            if strays[labels]:
                strays[labels] -= {path.stem for path in image_files(folder) if path.parent == folder}
        for labels, stems in strays.items():
            beside = labels in self._folders  # with lists of photos and notes among them
            for stem in sorted(stems):
                if beside and not _begins_with_number(self._files[labels][stem]):
                    continue
                problems.add("missing_file", self._files[labels][stem], None, "there is no photo of this name")

    @staticmethod
    def any_for(folder: Path) -> bool:
        """Whether any photo in a folder, or below it, has a label file."""
        return any(_text_files(_label_folder(place)) for place in _folders_of(folder))


def _folders_of(folder: Path) -> Iterator[Path]:
    yield from dict.fromkeys(path.parent for path in image_files(folder))


def _label_folder(folder: Path) -> Path:
    """`labels` in the place of the last `images` of a path; the folder itself where that is not there, or none."""
    parts = folder.parts
    index = next((place for place in range(len(parts) - 1, -1, -1) if parts[place].lower() in _PHOTO_FOLDERS), None)
    if index is None:
        return folder
    above = Path(*parts[:index])
    labels = (sub_folder(above, "labels") or above / "labels").joinpath(*parts[index + 1 :])
    return folder if not is_folder(labels) and _text_files(folder) else labels


def _text_files(folder: Path, photos: Collection[str] = ()) -> dict[str, Path]:
    """Label files by stem; `test.txt` is one only where there is a photo `test` and its first word is a number."""
    return {
        path.stem: path
        for path in files_in(folder, ".txt")
        if not _NO_LABELS.fullmatch(path.name.lower()) or (path.stem in photos and _begins_with_number(path))
    }


def _begins_with_number(path: Path) -> bool:
    try:
        words = read_text(path).split(maxsplit=1)
    except DocumentError:
        return True
    return bool(words) and words[0].replace(".", "", 1).isdecimal()
