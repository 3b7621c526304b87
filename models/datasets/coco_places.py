"""Finds the photos of a COCO annotation file, and the name of the data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.datasets.data_folder import DataFolder
from models.datasets.samples import DatasetError

_PREFIX: Final = re.compile(r"instances_|(person_)?keypoints_")
_TRIED_PHOTOS: Final = 20


def dataset_name(path: Path) -> str:
    """Folder and split of an annotation file, such as `person/val`."""
    folder = path.absolute().parent
    folder = folder.parent if folder.name == "annotations" else folder
    split = _PREFIX.sub("", path.stem, count=1)
    return folder.name if split == "instances" else f"{folder.name}/{split}"


def photo_folder(path: Path, files: Sequence[str], allow_outside: bool) -> tuple[Path, DataFolder]:
    """Finds the photos by the first few: beside the file, or where COCO's archives and CVAT's exports have them.

    Args:
        path: Of the annotation file.
        files: Names of its photos, as the file has them.
        allow_outside: See `DataFolder`.

    Returns:
        The folder that the names are below; and the data folder: that of the file, and where the photos are beside it,
        as in `annotations/instances_val.json` and `val/`, the one above.

    Raises:
        DatasetError: There is none of the first photos.
    """
    split = _PREFIX.sub("", path.stem, count=1)
    above = path.absolute().parent.parent
    beside = [path.parent / "images", path.parent]
    folders = [*beside, above / split, above / "images" / split, above / "images", above]
    for folder in folders:
        data = DataFolder(path.parent, *([] if folder in beside else [above]), allow_outside=allow_outside)
        if any(data.find(folder, file) for file in files[:_TRIED_PHOTOS]):
            return folder, data
    if not files:
        raise DatasetError(f"{path}: no images")
    looked = ", ".join(f"{folder}/" for folder in folders)
    raise DatasetError(f"{path}: the photos, such as {files[0]}, are in none of {looked};"
                       f" give their folder as {path}:FOLDER")  # fmt: skip
