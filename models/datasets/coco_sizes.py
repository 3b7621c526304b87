"""Reads sizes of photos from files in COCO's format, or from the photos where the files lack them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.datasets.coco_members import is_unknown_side, shown, side_length
from models.datasets.data_folder import is_file
from models.datasets.label_problems import Report
from models.datasets.photo_files import photo_size
from models.errors import ImageError


def read_size(row: Mapping[str, Any], path: Path, report: Report) -> tuple[int, int] | None:
    """Reads the size of a photo.

    Args:
        row: Of `images`.
        path: Of the photo.
        report: Receives what is wrong.

    Returns:
        (height, width) in pixels, that of the photo's header where the file does not say it; None where the photo is
        not there, cannot be read, or contradicts the one side that the file knows.
    """
    if not is_file(path):
        report("missing_file", f"there is no {path}")
        return None
    height, width = side_length(row.get("height")), side_length(row.get("width"))
    if height is not None and width is not None:
        return height, width
    try:
        size = photo_size(path)
    except (OSError, ImageError) as error:
        report("unreadable", f"{path}: {error}")
        return None
    for name, known, own in (("height", height, size[0]), ("width", width, size[1])):
        if known is None and not is_unknown_side(row.get(name)):
            message = f"the {name} {shown(row.get(name))} is not a number of pixels; that of the photo, {own}, was used"
            report("bad_number", message)
        if known not in (None, own):
            report("wrong_size", f"the {name} is {known}, but that of {path} is {own}")
            return None
    return size
