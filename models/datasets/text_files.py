"""Text files of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from models.datasets.samples import DatasetError
from models.sources import text_documents
from models.sources.text_documents import DocumentError

MOST_BYTES: Final = 2**32
"""The annotations of the largest public data sets (Objects365, 1.7 million photos) are some 3 GB."""


def read_text(path: Path) -> str:
    """Reads a text file; see `models.sources.text_documents.read_text`.

    Raises:
        DatasetError: It cannot be read, is too large, or is not in an encoding that is known.
    """
    try:
        return text_documents.read_text(path, MOST_BYTES)
    except DocumentError as error:
        raise DatasetError(str(error)) from None


def parse_json(path: Path, text: str, pairs: bool = False) -> Any:
    """Parses JSON; see `models.sources.text_documents.parse_json`.

    Raises:
        DatasetError: It is not JSON.
    """
    try:
        return text_documents.parse_json(text, path, pairs)
    except DocumentError as error:
        raise DatasetError(str(error)) from None


def names_in(path: Path) -> tuple[str, ...]:
    """Reads a file with a name on every line; empty lines are left out.

    Raises:
        DatasetError: It cannot be read.
    """
    return tuple(name for line in read_text(path).splitlines() if (name := line.strip()))
