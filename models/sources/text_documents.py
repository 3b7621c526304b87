"""Reads text and JSON files within bounds; every error is one line that names the file or the member."""

import json
import os
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args

import msgspec

T = TypeVar("T")

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


def convert_json(value: object, kind: type[T], member: str = "") -> T:
    """Converts parsed JSON to a dataclass, by msgspec in strict mode.

    msgspec ignores unknown members of a dataclass and accepts NaN; both are refused here.

    Args:
        value: What `json.loads` returned.
        kind: The dataclass; a member that it has a default for may be absent.
        member: Path of the value within its document, such as `preprocessing`; empty for the whole document.

    Raises:
        ValueError: A member is absent, unknown, of another type or not finite; the message names it.
    """
    try:
        converted = msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise ValueError(f"{_joined(member, path.strip('.`')) or 'the document'}: {reason}") from None
    _check_members(converted, value, member)
    return converted


def _check_members(converted: Any, value: Any, member: str) -> None:
    if is_dataclass(converted):
        known = {field.name: field for field in fields(converted)}
        for name, item in value.items():
            path = _joined(member, name)
            if name not in known:
                raise ValueError(f"{path} must be left out: there are only {', '.join(known)}")
            if Any not in get_args(known[name].type):
                _check_members(getattr(converted, name), item, path)
    elif isinstance(converted, Mapping):
        for name, item in cast("Mapping[str, object]", converted).items():
            _check_members(item, value[name], _joined(member, name))
    elif isinstance(converted, tuple):
        for index, item in enumerate(cast("tuple[object, ...]", converted)):
            _check_members(item, value[index], f"{member}[{index}]")
    elif isinstance(converted, float) and not isfinite(converted):
        raise ValueError(f"{member} must be a finite number")


def _joined(*parts: str) -> str:
    return ".".join(filter(None, parts))
