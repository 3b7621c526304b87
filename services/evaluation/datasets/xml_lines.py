"""Reads small XML files, with the line of every element."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from services.evaluation.samples import DatasetError


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
        path: The file. It must not declare a document type: labels need none, and entities can be made to fill any
            memory.

    Returns:
        Its outermost element.

    Raises:
        DatasetError: It cannot be read, is no XML, or declares a document type.
    """
    open_elements = [XmlElement("", 0)]
    parser = expat.ParserCreate()

    def start(tag: str, _: dict[str, str]) -> None:
        element = XmlElement(tag, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        element = open_elements.pop()
        element.text = element.text.strip()

    def text(data: str) -> None:
        open_elements[-1].text += data

    def refuse(*_: object) -> None:
        raise DatasetError(f"{path}: declares a document type, which labels have no need of")

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(path.read_bytes(), True)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except expat.ExpatError as error:
        raise DatasetError(f"{path}: not XML: {error}") from None
    return open_elements[0].children[0]
