"""Text files of labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.evaluation.samples import DatasetError


def read_text(path: Path) -> str:
    """Reads a text file.

    Raises:
        DatasetError: It cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def parse_json(path: Path, text: str, pairs: bool = False) -> Any:
    """Parses JSON; a number may be `NaN` or `Infinity`, as Python writes them.

    Args:
        path: Of the file, for the message.
        text: It holds.
        pairs: Objects become lists of (key, value), so that none of equal keys is lost.

    Raises:
        DatasetError: It is no JSON.
    """
    try:
        return json.loads(text, object_pairs_hook=list if pairs else None)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not JSON: {error}") from None


def names_in(path: Path) -> tuple[str, ...]:
    """Reads a file with a name on every line; empty lines are left out.

    Raises:
        DatasetError: It cannot be read.
    """
    return tuple(name for line in read_text(path).splitlines() if (name := line.strip()))
