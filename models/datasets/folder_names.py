"""Finds files and folders of data sets whose names tools write in upper or in lower case."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from models.datasets.data_folder import DataFolder
from models.datasets.photo_files import is_folder


def sub_folder(folder: Path, *names: str) -> Path | None:
    """Finds a folder in a folder.

    Args:
        folder: To look in.
        names: Of which the first that is there is given: as written, or else in other upper and lower case.

    Returns:
        Its path; None where there is none.
    """
    exact = next((folder / name for name in names if (folder / name).is_dir()), None)
    if exact is not None or not folder.is_dir():
        return exact
    found = {path.name.lower(): path for path in sorted(folder.iterdir(), reverse=True) if path.is_dir()}
    return next((found[name.lower()] for name in names if name.lower() in found), None)


def files_below(folder: Path, *suffixes: str) -> Iterator[Path]:
    """Lists files with a suffix, such as `.txt` in any case, in a folder, and then in those below it, by name.

    Hidden files are left out, such as the `._a.xml` that macOS puts into archives.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield Path(place, name)


def files_in(folder: Path, *suffixes: str) -> list[Path]:
    """Lists files with a suffix in a folder alone; see `files_below`."""
    if not folder.is_dir():
        return []
    found = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes)
    return [path for path in found if not path.name.startswith(".") and path.is_file()]


def stem_below(path: Path, folder: Path) -> str:
    """The path of a file below a folder, without its suffix, with `/`."""
    return path.relative_to(folder).with_suffix("").as_posix()


def find_below(root: Path, name: str, data: DataFolder) -> Path | None:
    r"""Finds the file or folder that settings or lists name, on whatever machine they were written.

    Args:
        root: The folder that it is meant to be below.
        name: As it is written: relative, with the name of an archive before it, such as `data/obj.names`, of another
            machine, such as `C:\pets\images\1.jpg`, or `../valid/images`, as Roboflow writes what is beside its
            settings.
        data: What it must be below.

    Returns:
        Where the longest end of the name is found below `root`; None where there is nothing of it. The last part alone
        is enough of a file, and of a folder only where the name has no other.
    """
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        rest = "/".join(parts[start:])
        is_enough = start < len(parts) - 1 or len(parts) == 1
        found = root / rest if is_enough and is_folder(root / rest) else data.find(root, rest)
        if found is not None and data.holds(found):
            return found
    return None
