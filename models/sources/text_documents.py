"""Reads text and JSON files within bounds; every error is one line that names the file."""

import json
import os
from pathlib import Path
from typing import Any, Final

MOST_BYTES: Final = 2**24
"""The size limit of a card or a result; label files may be larger."""

_DEEP: Final = "nested too deeply"


class DocumentError(ValueError):
    """A file that cannot be read; the message names it and says why.

    Args:
        path: Of the file.
        reason: Why, in one line.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """Reads a text file: UTF-8, or UTF-16 or UTF-32 where its first bytes say so; a byte order mark is left out.

    Args:
        path: Of the file.
        most_bytes: A larger file is refused before it is read.

    Raises:
        DocumentError: It cannot be read, is too large, or is not in one of these encodings.
    """
    data = read_bytes(path, most_bytes)
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
        raise DocumentError(path, f"not {name}: {error.reason} at byte {error.start}") from None


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Reads a file.

    Args:
        path: Of the file.
        most_bytes: A larger file is refused.

    Raises:
        DocumentError: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            # CPython allocates all bytes that are asked for, so ask for no more than the file has
            size = os.fstat(file.fileno()).st_size if path.is_file() else most_bytes
            data = file.read(min(size, most_bytes) + 1)
    except OSError as error:
        raise DocumentError(path, error.strerror or str(error)) from None
    if len(data) > most_bytes:
        raise DocumentError(path, f"larger than {most_bytes // 2**20} MiB, the most that is read of such a file")
    return data


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """Reads a JSON file; see `read_text` and `parse_json`."""
    return parse_json(read_text(path, most_bytes), path)


def parse_json(text: str, path: Path, pairs: bool = False) -> Any:
    """Parses JSON; a number may be `NaN` or `Infinity`, as Python writes them.

    Args:
        text: The document.
        path: Of its file, for the message.
        pairs: Objects become lists of (key, value), so that none of equal keys is lost.

    Raises:
        DocumentError: It is not JSON, or is nested deeper than Python's recursion limit.
    """
    try:
        return json.loads(text, object_pairs_hook=list if pairs else None)
    except RecursionError:
        raise DocumentError(path, f"not JSON: {_DEEP}") from None
    except ValueError as error:  # also of a number with more digits than Python converts
        raise DocumentError(path, f"not JSON: {error}") from None
