"""The image files of a data set: names, sizes and content."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.datasets.packed_images import ImageFile, PackedImage
from models.datasets.prefetch import made_ahead
from models.datasets.samples import DatasetError, LabelProblem
from models.errors import ImageError
from models.imaging import decoding

_HEAD_BYTES: Final = 2**16
_THREADS: Final = 8

Item = TypeVar("Item")


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; False for names that no folder can have."""
    try:
        return path.is_dir()
    except OSError:
        return False


def photo_size(path: Path) -> tuple[int, int]:
    """Reads the size of an image from the head of its file.

    Args:
        path: The file.

    Returns:
        (height, width) in pixels, upright.

    Raises:
        OSError: The file cannot be read.
        ImageError: It is not an image that can be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        try:
            return _size(head)
        except ImageError:  # the header may lie behind a long comment, or at the end
            return _size(head + file.read())


def photo_sizes(paths: Iterable[Path]) -> Iterator[tuple[int, int] | str]:
    """Reads the sizes of many images, several at a time.

    Args:
        paths: Of the files.

    Yields:
        For each file in order: (height, width) in pixels, upright, or why it cannot be read.
    """

    def size_or_reason(path: Path) -> tuple[int, int] | str:
        try:
            return photo_size(path)
        except ImageError as error:
            return str(error)
        except (OSError, ValueError) as error:  # a name may be none that a file can have
            return f"it cannot be read: {getattr(error, 'strerror', None) or error}"

    return made_ahead(size_or_reason, paths, _THREADS)


def read_photo(path: ImageFile, size: tuple[int, int] | None = None) -> bytes:
    """Reads an image file and checks its size against the labels.

    Args:
        path: The file, perhaps inside an archive.
        size: (height, width) in pixels that the labels are for; any where None.

    Returns:
        The file, still encoded.

    Raises:
        DatasetError: It cannot be read, is no image, or is of another size.
    """
    try:
        data = path.read_bytes()
        if isinstance(path, PackedImage) and path.is_signal:
            return data
        found = _size(data)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except ImageError as error:
        raise DatasetError(f"{path}: {error}") from None
    if size is not None and found != size:
        raise DatasetError(f"{path}: is {found}, but its labels are for {size} (height, width)")
    return data


def _size(data: bytes) -> tuple[int, int]:
    """(height, width) of a photo however large it is: who decodes it has a cap on that."""
    return decoding.inspect(data, max_bytes=sys.maxsize, max_pixels=sys.maxsize).size


def spread(items: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Chooses some of many, evenly from the first to the last; all where there are no more than that."""
    if limit is None or limit >= len(items):
        return items
    return [items[index * len(items) // limit] for index in range(limit)]


def digest_of(*parts: NDArray[Any] | str | Sequence[str]) -> str:
    """Sixteen hexadecimal digits that change with any of the parts, and with where one ends."""
    digest = sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode(errors="surrogatepass")
        digest.update(f"{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def check_any(name: str, what: str, count: int, problems: Sequence[LabelProblem]) -> None:
    """Raises unless there are photos or objects to evaluate on.

    Args:
        name: Of the data set.
        what: What is counted: `photo` or `object`.
        count: The number of them.
        problems: Problems of its labels; the message shows the first.

    Raises:
        DatasetError: There is none.
    """
    if not count:
        first = f"; of {len(problems)} problems the first is {problems[0]}" if problems else ""
        raise DatasetError(f"{name}: no {what} to measure on{first}")
