"""Finds the line numbers of values in a JSON file, for messages about wrong labels.

The reader of the standard library gives values and no places. This goes through the text again with the same reader,
value by value, and only as far as it must.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Final

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\r\n]*")


def element_lines(text: str, key: str, indices: Collection[int]) -> dict[int, int]:
    """Finds elements of a list that is a value of the outermost object.

    Args:
        text: A JSON document that can be read, such as `{"annotations": [{…}, {…}]}`.
        key: Of the list; the last of equal keys counts, as it does for the reader.
        indices: Of the elements, from 0.

    Returns:
        The line of each, from 1; nothing for those that are not there.
    """
    starts = [value for name, _, value in _members(text) if name == key]
    if not starts or not indices:
        return {}
    last = max(indices)
    lines: dict[int, int] = {}
    line, counted = 1, 0
    for index, start in enumerate(_elements(text, starts[-1])):
        if index in indices:
            line += text.count("\n", counted, start)
            counted = start
            lines[index] = line
        if index == last:
            break
    return lines


def member_lines(text: str) -> list[int]:
    """Gives the line of every key of the outermost object, from 1, in the order of the text."""
    lines: list[int] = []
    line, counted = 1, 0
    for _, start, _ in _members(text):
        line += text.count("\n", counted, start)
        counted = start
        lines.append(line)
    return lines


def _members(text: str) -> Iterator[tuple[str, int, int]]:
    """Every key of the outermost object, where it begins, and where its value does."""
    place = _after_space(text, 0)
    if text[place : place + 1] != "{":
        return
    place = _after_space(text, place + 1)
    while text[place] != "}":
        key, end = _DECODER.raw_decode(text, place)
        value = _after_space(text, _after_space(text, end) + 1)
        yield key, place, value
        _, end = _DECODER.raw_decode(text, value)
        place = _after_comma(text, end)


def _elements(text: str, place: int) -> Iterator[int]:
    """Where every element of the list at a place begins."""
    if text[place] != "[":
        return
    place = _after_space(text, place + 1)
    while text[place] != "]":
        yield place
        _, end = _DECODER.raw_decode(text, place)
        place = _after_comma(text, end)


def _after_comma(text: str, place: int) -> int:
    place = _after_space(text, place)
    return _after_space(text, place + 1) if text[place] == "," else place


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place
