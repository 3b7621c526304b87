"""Finds the images of a command line: paths, globs, folders and standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from models.imaging.file_names import SUFFIXES

STDIN = "-"


class UnreadableSource(Exception):
    """An argument or a file without a readable image; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    """One image to read.

    Attributes:
        name: Its name in results: the path, or `-`.
        problem: Why it cannot be read; None where it may be readable.
    """

    name: str
    problem: str | None = None

    def read(self, max_bytes: int) -> bytes:
        """The encoded image.

        Args:
            max_bytes: Size limit.

        Raises:
            UnreadableSource: it cannot be read, or is larger.
        """
        if self.problem is not None:
            raise UnreadableSource(self.problem)
        try:
            if self.name == STDIN:
                data = sys.stdin.buffer.read(max_bytes + 1)
            else:
                with Path(self.name).open("rb") as file:
                    data = file.read(max_bytes + 1)
        except (OSError, ValueError) as error:
            raise UnreadableSource(_reason(error)) from None
        if len(data) > max_bytes:
            raise UnreadableSource(f"larger than {max_bytes // 2**20} MiB")
        return data


def find_sources(arguments: Iterable[str]) -> list[ImageSource]:
    """Finds the images of the arguments, in order; those of a folder and of a glob sorted by name.

    An argument without images becomes a source with a problem, so that it is reported in its place.
    """
    return [source for argument in arguments for source in _expand(argument)]


def _expand(argument: str) -> Iterator[ImageSource]:
    path = Path(argument)
    if argument == STDIN or path.is_file():
        yield ImageSource(argument)
    elif path.is_dir():
        yield from _in_folder(argument)
    elif glob.has_magic(argument):
        yield from _matching(argument)
    elif path.exists():  # a pipe or a device
        yield ImageSource(argument)
    else:
        yield ImageSource(argument, "no such file or folder")


def _matching(pattern: str) -> Iterator[ImageSource]:
    # Path.glob takes no absolute pattern, and would rewrite what stands before the first star
    matches = sorted(match for match in glob.glob(pattern, recursive=True) if not Path(match).is_dir())  # noqa: PTH207
    if not matches:
        yield ImageSource(pattern, "no file matches")
    yield from map(ImageSource, matches)


def _in_folder(folder: str) -> Iterator[ImageSource]:
    """Images in a folder, recursively; hidden files are skipped, and links to folders are not followed."""
    problems: list[ImageSource] = []
    found = 0
    for parent, folders, files in os.walk(folder, onerror=lambda error: problems.append(_unlisted(error))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                found += 1
                yield ImageSource(os.path.join(parent, name))  # noqa: PTH118  # the argument stays as it was written
    if not found and not problems:
        yield ImageSource(folder, f"no image in this folder (looked for {', '.join(sorted(SUFFIXES))})")
    yield from problems


def _unlisted(error: OSError) -> ImageSource:
    return ImageSource(str(error.filename), _reason(error))


def _reason(error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) else str(error)
    return (text or str(error) or type(error).__name__).lower()
