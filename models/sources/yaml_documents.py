"""Reads YAML files, with limits on size, depth and alias expansion.

Nested YAML aliases expand ten lines to a billion items, and PyYAML's parsing of numbers takes time quadratic in their
length. Limits are checked on the events of the parser, before anything is constructed.
"""

# pyright: reportUntypedBaseClass=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

try:  # the fast one, where PyYAML was built with it
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader

from models.sources.text_documents import DocumentError, read_text

_MOST_BYTES: Final = 2**20
_MOST_DEPTH: Final = 50
_MOST_ITEMS: Final = 2**18
_MOST_PLAIN_CHARACTERS: Final = 3500
"""Of a text without quotes, which may be a number; Python prints integers of up to 4300 digits (3571 hexadecimal)."""


class _Loader(SafeLoader):  # pyright: ignore[reportGeneralTypeIssues]
    """A loader that refuses duplicate keys, of which PyYAML silently keeps the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key {key.value!r} is there twice", key.start_mark)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """Reads a YAML file.

    Args:
        path: Of the file.

    Returns:
        Its one document; None where it is empty.

    Raises:
        DocumentError: It cannot be read, is not YAML, or is beyond a bound; the message is one line and names the file.
    """
    text = read_text(path, _MOST_BYTES)
    try:
        _check_bounds(yaml.parse(text, Loader=_Loader))
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:  # such as of the date 2026-99-99
        raise DocumentError(path, f"not YAML: {' '.join(str(error).split())}") from None


def _check_bounds(events: Iterator[Any]) -> None:
    """Raises unless depth, tags, texts, and the items that all aliases stand for are within bounds."""
    counts, anchors = [0], list[str | None]()
    sizes: dict[str, int] = {}
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            _check_tag(event, event.implicit)
            counts.append(1)
            anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = counts.pop(), anchors.pop()
            counts[-1] += size
            if anchor is not None:
                sizes[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            _check_tag(event, any(event.implicit))
            if not event.style and len(event.value) > _MOST_PLAIN_CHARACTERS:
                raise _at(event, f"a text of more than {_MOST_PLAIN_CHARACTERS} characters without quotes")
            counts[-1] += 1
            sizes[event.anchor or ""] = 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise _at(event, f"the alias *{event.anchor} stands for nothing, or for what it is a part of")
            counts[-1] += sizes[event.anchor]
        if len(counts) > _MOST_DEPTH:
            raise _at(event, f"nested deeper than {_MOST_DEPTH}")
        if counts[-1] > _MOST_ITEMS:
            raise _at(event, f"more than {_MOST_ITEMS} items, counting those that aliases stand for")


def _check_tag(event: Any, implicit: bool) -> None:
    if event.tag is not None and not implicit:
        raise _at(event, f"the tag {event.tag} is not read")


def _at(event: Any, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, message, event.start_mark)
