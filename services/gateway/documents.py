"""Parses JSON bodies of any size without holding the GIL for long.

`orjson.loads` holds the GIL: 105 ms for an image of 32 MiB in base64. So the long strings of a large body are cut out
first, the rest is parsed, and the strings are put back.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final, cast

import orjson

from services.errors import BodyTooLarge, RequestError
from services.gateway.serving.offload import TimeLimit

MAX_VALUES: Final = 2**18
"""The most values in a JSON body. Two bytes may become a value of a hundred, and the GIL is held meanwhile."""

MAX_MEMBERS: Final = 2**15
"""The most members of all its objects together; each may be invalid and cause a validation error."""

MAX_BESIDES: Final = 4 * 2**20
"""The most bytes of a JSON body without its long strings."""

LONG: Final = 1024
"""A string with more bytes is cut out before parsing."""

_AT_ONCE: Final = 2**20
"""A body of at most this many bytes is parsed as it is; larger ones are scanned in blocks of this size."""


def parse_object(body: bytes, limit: TimeLimit, raw_member: str = "") -> dict[str, Any]:
    """Parses a JSON object.

    Args:
        body: Its text in UTF-8.
        limit: Time limit of the request.
        raw_member: Long strings of members of this name, such as base64, stay bytes, as a memoryview.

    Raises:
        BodyTooLarge: it has too many values, members, or bytes without long strings.
        RequestError: it is not a JSON object.
        OutOfTime: the time limit has passed, or the client has disconnected.
    """
    _check_counts(body, limit)
    document = _loads(body) if len(body) <= _AT_ONCE else _loads_large(body, limit, raw_member)
    if not isinstance(document, dict):
        raise RequestError("the body must be a JSON object")
    return cast(dict[str, Any], document)


def _check_counts(body: bytes, limit: TimeLimit) -> None:
    for marks, most, what in (
        ((b",", b"[", b"{"), MAX_VALUES, "values"),
        ((b":",), MAX_MEMBERS, "members"),
        ((b'"',), 4 * MAX_VALUES, "quotation marks"),
    ):
        for count in accumulate(_counts(body, marks)):
            limit.check()
            if count > most:
                raise BodyTooLarge(f"the body has more than {most} {what}", {f"max_{what.split()[0]}": most})


def _counts(body: bytes, marks: tuple[bytes, ...]) -> Iterator[int]:
    """Counts delimiters in one block of a text after the other, including those in strings."""
    for first in range(0, len(body), _AT_ONCE):
        yield sum(body.count(mark, first, first + _AT_ONCE) for mark in marks)


def _loads(text: bytes | memoryview) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error.msg} at position {error.pos}") from None


def _loads_large(body: bytes, limit: TimeLimit, raw_member: str) -> Any:
    token = secrets.token_hex(16)
    pieces: list[bytes] = []
    texts: dict[str, tuple[int, int]] = {}
    size = position = 0
    for start, end in _long_strings(body, limit):
        name = f"{token}{len(texts)}"
        texts[name] = (start, end)
        pieces += (body[position:start], name.encode())
        size += len(pieces[-2])
        position = end
    if size + len(body) - position > MAX_BESIDES:
        message = f"the body has more than {MAX_BESIDES} bytes besides strings of more than {LONG}"
        raise BodyTooLarge(message, {"max_bytes": MAX_BESIDES})
    document = _loads(b"".join((*pieces, body[position:])))
    _put_back(document, body, texts, limit, raw_member)
    return document


def _long_strings(body: bytes, limit: TimeLimit) -> Iterator[tuple[int, int]]:
    """Start and end of the long strings, without their quotation marks."""
    position = 0
    while (start := body.find(b'"', position) + 1) > 0:
        limit.check()
        end = body.find(b'"', start)
        while end > 0 and _is_escaped(body, start, end):
            end = body.find(b'"', end + 1)
        if end < 0:
            return
        if end - start > LONG:
            yield start, end
        position = end + 1


def _is_escaped(body: bytes, start: int, end: int) -> bool:
    """Whether an odd number of backslashes stands before `end`."""
    if body[end - 1] != ord("\\"):
        return False
    before = body[max(start, end - LONG) : end]
    backslashes = len(before) - len(before.rstrip(b"\\"))
    if backslashes == LONG:
        raise RequestError(f"the body has {LONG} backslashes in a row")
    return backslashes % 2 == 1


def _put_back(document: Any, body: bytes, texts: dict[str, tuple[int, int]], limit: TimeLimit, raw_member: str) -> None:
    """Replace the placeholders of long strings by the strings, wherever they are values."""
    waiting = [document]
    while waiting:
        limit.check()
        parent = waiting.pop()
        if isinstance(parent, dict):
            entries = cast(dict[str, Any], parent)
            if not texts.keys().isdisjoint(entries):
                raise RequestError(f"the name of a member is longer than {LONG} bytes")
            children = list(entries.items())
        elif isinstance(parent, list):
            entries = cast(list[Any], parent)
            children = list(enumerate(entries))
        else:
            continue
        for key, value in children:
            if isinstance(value, str) and value in texts:
                cast(Any, entries)[key] = _text(body, *texts[value], limit, is_raw=key == raw_member)
            elif isinstance(value, (dict, list)):
                waiting.append(value)


def _text(body: bytes, start: int, end: int, limit: TimeLimit, *, is_raw: bool) -> str | memoryview[int]:
    """Decodes a JSON string from the bytes between its quotation marks."""
    backslashes = _count(body, b"\\", start, end)
    raw = memoryview(body)[start:end]
    if backslashes and backslashes == _count(body, b"\\/", start, end):  # base64, as PHP writes it
        raw, backslashes = _without_backslashes(body, start, end, limit), 0
    if not backslashes and is_raw:
        return raw
    try:
        if not backslashes:
            return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise RequestError("the body is not JSON: it is not UTF-8") from None
    if end - start > MAX_BESIDES:
        raise BodyTooLarge(f"a string with escapes has more than {MAX_BESIDES} bytes", {"max_bytes": MAX_BESIDES})
    return _loads(body[start - 1 : end + 1])


def _count(body: bytes, mark: bytes, start: int, end: int) -> int:
    """Counts a delimiter between two offsets, in blocks."""
    overlap = len(mark) - 1
    pieces = range(start, end, _AT_ONCE)
    return sum(body.count(mark, first, min(end, first + _AT_ONCE + overlap)) for first in pieces)


def _without_backslashes(body: bytes, start: int, end: int, limit: TimeLimit) -> memoryview[int]:
    file = io.BytesIO()
    while start < end:
        limit.check()
        piece_end = min(end, start + _AT_ONCE)
        file.write(body[start:piece_end].replace(b"\\", b""))
        start = piece_end
    return file.getbuffer()
