"""Resolves file names in labels, and keeps them below the folders of the data set."""

import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from models.datasets.photo_dataset import DatasetError


class DataFolder:
    """The folders of a data set: labels may name files below them, and no others.

    Labels are untrusted. A label that names `../../private.jpg`, an absolute path, or a link that leads elsewhere
    would put other files of the machine into predictions and reports.

    Args:
        folders: One or more; links in these paths themselves are followed.
        allow_outside: Whether labels may name files elsewhere, too.
    """

    def __init__(self, *folders: Path, allow_outside: bool = False) -> None:
        self._named = folders[0]
        self._roots = tuple(Path(os.path.realpath(folder)) for folder in folders)
        self._allow_outside = allow_outside
        self._real_folders: dict[Path, Path] = {}
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def holds(self, path: Path) -> bool:
        """Whether a path may be read: with links resolved, it is below one of the folders."""
        if self._allow_outside:
            return True
        try:
            there = self._followed(path)
        except (OSError, ValueError):  # not a name that a file can have: there is nothing to read
            return True
        return any(there.is_relative_to(root) for root in self._roots)

    def check(self, path: Path, place: str) -> Path:
        """Returns a path that may be read.

        Args:
            path: As labels name it, joined to the folder that it is meant to be below.
            place: Where they name it: a file, or a file and a line, such as `val.csv:17`.

        Raises:
            DatasetError: It is outside the folders; the message names the place, the path and the option.
        """
        if not self.holds(path):
            raise DatasetError(
                f"{place}: {path} is outside the data folder {self._named}; --allow-outside reads such files"
            )
        return path

    def checked(self, paths: Iterable[Path]) -> list[Path]:
        """Returns the files that a listing of a folder found, any of which may be a link.

        Raises:
            DatasetError: One leads outside the folders.
        """
        return [self.check(path, str(path)) for path in paths]

    def find(self, folder: Path, name: str) -> Path | None:
        r"""Finds a file by its name in labels, which another system or tool may have spelled its own way.

        The name as it is written comes first; then with `/` for the `\` of Windows, with `%20` and the like decoded,
        and in the other normal forms of Unicode, since macOS decomposes names; at last the file of the folder whose
        name differs in the case of letters only, where it is the only one, since Windows and macOS ignore case.

        Args:
            folder: The folder that the name is below; an absolute name stays what it is.
            name: Of the file.

        Returns:
            Its path, which `check` has not seen yet; None where there is no such file.
        """
        spellings = list(_spellings(name))
        for spelling in spellings:
            if is_file(folder / spelling):
                return folder / spelling
        for spelling in spellings:
            path = folder / spelling
            same = self._by_folded_name(path.parent).get(path.name.casefold(), [])
            if len(same) == 1 and is_file(path.parent / same[0]):
                return path.parent / same[0]
        return None

    def _followed(self, path: Path) -> Path:
        """Follows all links; those of a folder once for all of its files."""
        if path.parent not in self._real_folders:
            self._real_folders[path.parent] = Path(os.path.realpath(path.parent))
        there = self._real_folders[path.parent] / path.name
        return Path(os.path.realpath(there)) if path.name == ".." or there.is_symlink() else there

    def _by_folded_name(self, folder: Path) -> dict[str, list[str]]:
        if folder not in self._listed:
            names: dict[str, list[str]] = {}
            try:
                entries = os.listdir(folder) if self.holds(folder) else []  # noqa: PTH208 (names are all that is needed)
            except (OSError, ValueError):
                entries = []
            for name in entries:
                names.setdefault(name.casefold(), []).append(name)
            self._listed[folder] = names
        return self._listed[folder]


def _spellings(name: str) -> Iterator[str]:
    """The name as it is written, and then its other spellings, each once."""
    seen = {""}
    for slashed in (name, name.replace("\\", "/")):
        for decoded in (slashed, unquote(slashed)):
            for form in (decoded, unicodedata.normalize("NFC", decoded), unicodedata.normalize("NFD", decoded)):
                if form not in seen:
                    seen.add(form)
                    yield form


def is_file(path: Path) -> bool:
    """Whether the path is a file; False for names that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # not a name that a file can have
        return False
