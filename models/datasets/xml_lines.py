"""Reads small XML files, with the line of every element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers import expat

from models.datasets.samples import DatasetError
from models.datasets.xml_encodings import decode_xml
from models.sources.text_documents import DocumentError, read_bytes

MAX_BYTES: Final = 16 * 2**20
"""A file of labels is a few kilobytes."""

MAX_ELEMENTS: Final = 200_000
MAX_DEPTH: Final = 64


@dataclass
class XmlElement:
    """An element.

    Attributes:
        tag: Its name.
        line: Where it begins, from 1.
        text: What it holds outside its children, without the space around.
        children: In order.
    """

    tag: str
    line: int
    text: str = ""
    children: list[XmlElement] = field(default_factory=list["XmlElement"])

    def all(self, tag: str) -> Iterator[XmlElement]:
        """Gives the children of a name."""
        return (child for child in self.children if child.tag == tag)

    def find(self, *path: str) -> XmlElement | None:
        """Gives the first descendant on a path of names; None where there is none."""
        found: XmlElement | None = self
        for tag in path:
            found = next(found.all(tag), None) if found is not None else None
        return found

    def value(self, *path: str) -> str:
        """Gives the text at a path; empty where there is none."""
        found = self.find(*path)
        return "" if found is None else found.text


def read_xml(path: Path) -> XmlElement:
    """Reads a file.

    Args:
        path: The file, in any encoding that it declares and Python knows. It must not declare a document type: labels
            need none, and entities can expand to fill any memory.

    Returns:
        Its outermost element.

    Raises:
        DatasetError: It cannot be read or decoded, is no XML, declares a document type, or is larger or deeper than
            `MAX_BYTES`, `MAX_ELEMENTS` and `MAX_DEPTH`.
    """
    try:
        return _Builder().build(decode_xml(read_bytes(path, MAX_BYTES)))
    except DocumentError as error:
        raise DatasetError(str(error)) from None
    except (ValueError, expat.ExpatError) as error:
        raise DatasetError(f"{path}: not XML that can be read: {error}") from None


class _Builder:
    """Builds elements from the events of expat."""

    def __init__(self) -> None:
        self._open = [XmlElement("", 0)]
        self._texts: list[list[str]] = [[]]
        self._count = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = _refuse

    def build(self, text: str) -> XmlElement:
        self._parser.Parse(text, True)  # expat takes a str as it is, whatever encoding its declaration names
        return self._open[0].children[0]

    def _start(self, tag: str, _: dict[str, str]) -> None:
        self._count += 1
        if self._count > MAX_ELEMENTS or len(self._open) > MAX_DEPTH:
            raise ValueError(f"more than {MAX_ELEMENTS} elements, or more than {MAX_DEPTH} within each other")
        element = XmlElement(tag, self._parser.CurrentLineNumber)
        self._open[-1].children.append(element)
        self._open.append(element)
        self._texts.append([])

    def _end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop()).strip()

    def _text(self, data: str) -> None:
        self._texts[-1].append(data)


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type, and labels need none")
