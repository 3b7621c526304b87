"""Saves images with their predictions drawn on them, or cut out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.drawing.annotations import annotations_of_answer
from models.drawing.cutouts import cut_out
from models.drawing.merging import merged
from models.drawing.picture import PictureFormat, draw, encode
from models.geometry.masks import Mask
from models.imaging.decoding import inspect
from services.answers.image_problem import Problem
from services.cli.console import CommandError
from services.cli.results import Result
from services.cli.sources import STDIN
from services.client.masks import RunLengths

_SUFFIXES: dict[PictureFormat, str] = {"jpeg": ".jpg", "png": ".png"}


def save_pictures(results: Iterable[Result], folder: Path, *, cutout: bool = False) -> Iterator[Result]:
    """Draw the answer of every result that has one, or cut it out, and pass all of them on.

    A JPEG stays one where it is drawn on; everything else becomes a PNG. A file that is there is never overwritten:
    the picture gets the next free number behind its name.

    Args:
        results: With their images.
        folder: Where to; made at once if it is not there.
        cutout: Whether to save the masks' pixels on transparent ground instead of the image with masks drawn on it.

    Raises:
        CommandError: the folder or a picture cannot be written.
    """
    with _one_line_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    numbers: Counter[str] = Counter()
    return (_saved(result, folder, numbers, cutout) for result in results)


def _saved(result: Result, folder: Path, numbers: Counter[str], cutout: bool) -> Result:
    if isinstance(result.outcome, Problem) or result.image is None:
        return result
    picture, suffix = _drawn(result, result.image, cutout)
    stem = "stdin" if result.name == STDIN else Path(result.name).stem
    with _one_line_errors(folder):
        return replace(result, image=None, picture=_written(picture, folder, stem, suffix, numbers))


@contextmanager
def _one_line_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(f"{error.filename or folder}: {(error.strerror or str(error)).lower()}") from None


def draw_result(result: Result, image: bytes) -> bytes:
    """Draw the prediction of an image on it.

    Args:
        result: With a prediction.
        image: The encoded image.

    Returns:
        A JPEG.
    """
    return _drawn(result, image, cutout=False, picture_format="jpeg")[0]


def analysis_picture(results: Sequence[Result], image: bytes, path: Path) -> bytes:
    """Draw the predictions of several tasks on their image.

    Args:
        results: With predictions, at least one.
        image: The encoded image.
        path: Its suffix decides on the format: `.png`, or else JPEG.
    """
    documents = [_with_run_lengths(result) for result in results]
    tasks = [annotations_of_answer(one, result.class_count) for one, result in zip(documents, results, strict=True)]
    max_pixels = documents[0]["image"]["height"] * documents[0]["image"]["width"]
    picture = draw(image, merged(tasks), max_bytes=len(image), max_pixels=max_pixels)
    return encode(picture, "png" if path.suffix.lower() == ".png" else "jpeg")


def write_picture(picture: bytes, path: Path) -> None:
    """Write one encoded picture; a file that is there is not overwritten.

    Raises:
        CommandError: it cannot be written, or is there already.
    """
    with _one_line_errors(path), path.open("xb") as file:
        file.write(picture)


def _drawn(
    result: Result, image: bytes, cutout: bool, picture_format: PictureFormat | None = None
) -> tuple[bytes, str]:
    """The encoded picture and the suffix of its name; image limits were checked by the prediction."""
    document = _with_run_lengths(result)
    max_pixels = document["image"]["height"] * document["image"]["width"]
    annotations = annotations_of_answer(document, result.class_count)
    make = cut_out if cutout else draw
    picture = make(image, annotations, max_bytes=len(image), max_pixels=max_pixels)
    header = inspect(image, max_bytes=len(image), max_pixels=max_pixels)
    picture_format = picture_format or ("jpeg" if header.format == "jpeg" and not cutout else "png")
    return encode(picture, picture_format), _SUFFIXES[picture_format]


def _with_run_lengths(result: Result) -> dict[str, Any]:
    """The prediction with its masks, if any, as run lengths, which drawing needs."""
    assert not isinstance(result.outcome, Problem)
    document = result.to_dict()
    for row, found in zip(document["predictions"], result.outcome.predictions, strict=True):
        mask = getattr(found, "mask", None)
        if mask is not None and not isinstance(mask, RunLengths):
            row["mask"] = Mask.from_array(mask.to_array()).to_coco()
    return document


def save_picture(picture: bytes, folder: Path, stem: str, suffix: str) -> Path:
    """Write one encoded picture under the first free name, and return its path.

    Args:
        picture: The file.
        folder: Where to; made if it is not there.
        stem: Name of the file without number and suffix.
        suffix: Such as `.png`.

    Raises:
        CommandError: the folder or the picture cannot be written.
    """
    with _one_line_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        return _written(picture, folder, stem, suffix, Counter())


def _written(picture: bytes, folder: Path, stem: str, suffix: str, numbers: Counter[str]) -> Path:
    """Writes the picture under the first free name, and returns its path."""
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
