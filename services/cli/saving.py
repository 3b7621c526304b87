"""Saves images with their answers drawn on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from models.drawing.marks import marks_of_answer
from models.drawing.picture import PictureFormat, draw, encode
from models.images import inspect
from services.cli.console import CommandError
from services.cli.results import Problem, Result
from services.cli.sources import STDIN

_SUFFIXES: dict[PictureFormat, str] = {"jpeg": ".jpg", "png": ".png"}


def save_pictures(results: Iterable[Result], folder: Path) -> Iterator[Result]:
    """Draw the answer of every result that has one, and pass all of them on.

    A JPEG stays one, everything else becomes a PNG. A file that is there is never overwritten: the picture gets the
    next free number behind its name.

    Args:
        results: With their images.
        folder: Where to; made at once if it is not there.

    Raises:
        CommandError: the folder or a picture cannot be written.
    """
    with _one_line_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    numbers: Counter[str] = Counter()
    return (_saved(result, folder, numbers) for result in results)


def _saved(result: Result, folder: Path, numbers: Counter[str]) -> Result:
    if isinstance(result.outcome, Problem) or result.image is None:
        return result
    picture, suffix = _drawn(result, result.image)
    stem = "stdin" if result.name == STDIN else Path(result.name).stem
    with _one_line_errors(folder):
        return replace(result, image=None, picture=_written(picture, folder, stem, suffix, numbers))


@contextmanager
def _one_line_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from None


def _drawn(result: Result, image: bytes) -> tuple[bytes, str]:
    """The encoded picture and the suffix of its name; caps on images are for whoever has answered."""
    document = result.to_dict()
    max_pixels = document["image"]["height"] * document["image"]["width"]
    marks = marks_of_answer(document, result.class_count)
    picture = draw(image, marks, max_bytes=len(image), max_pixels=max_pixels)
    header = inspect(image, max_bytes=len(image), max_pixels=max_pixels)
    picture_format: PictureFormat = "jpeg" if header.format == "jpeg" else "png"
    return encode(picture, picture_format), _SUFFIXES[picture_format]


def _written(picture: bytes, folder: Path, stem: str, suffix: str, numbers: Counter[str]) -> Path:
    """Where it was written: under the first name that is free."""
    while True:
        numbers[stem + suffix] += 1
        number = numbers[stem + suffix]
        path = folder / (f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}")
        try:
            with path.open("xb") as file:
                file.write(picture)
        except FileExistsError:
            continue
        return path
