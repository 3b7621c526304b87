"""Reads the objects of one Pascal VOC XML file, in the spellings of annotation tools.

VOC counts pixels from 1 and names the last one of a box (`Top left pixel co-ordinates : (1, 1)`, as the annotation
files of VOC2006 say; http://host.robots.ox.ac.uk/pascal/VOC/). So its box from 1 to 10 is one from 0 to 10 here. What
is `difficult` VOC does not count, found or not; here it becomes a crowd: nothing that is found there counts.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from models.datasets.label_problems import ProblemList, Report
from models.datasets.labelled_boxes import Box, box_area, checked_box
from models.datasets.object_table import LabelledObject
from models.datasets.samples import DatasetError
from models.datasets.xml_lines import XmlElement, read_xml

NamedObject = tuple[str, LabelledObject]
"""The name of a class, and an object whose class id is not known yet."""

_ROOT: Final = "annotation"
_CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
_OTHER_SHAPES: Final = ("robndbox", "polygon", "segm", "mask", "points", "point", "polyline", "ellipse", "cuboid")
_NO: Final = frozenset({"", "0", "false", "no", "n", "f", "unspecified", "none"})
_YES: Final = frozenset({"1", "true", "yes", "y", "t"})


def read_voc_boxes(path: Path, size: tuple[int, int], problems: ProblemList) -> list[NamedObject] | None:
    """Reads a file.

    Args:
        path: The XML file.
        size: (height, width) of its photo in pixels, upright.
        problems: Receives what is wrong.

    Returns:
        Its objects; None where the file or its photo cannot be used.
    """
    try:
        root = voc_root(path)
    except DatasetError as error:
        problems.add("unreadable", path, None, str(error).removeprefix(f"{path}: "))
        return None
    if not _agrees(root, size, path, problems):
        return None
    for child in root.children:
        if child.tag != "object" and child.tag.lower().startswith("object"):
            message = f"<{child.tag}> is not read; objects are elements named <object> in <{_ROOT}>"
            problems.add("unreadable", path, child.line, message)
    found = [_object(element, size, problems.at(path, element.line)) for element in root.all("object")]
    return [item for item in found if item is not None]


def voc_root(path: Path) -> XmlElement:
    """Reads a file and checks that it is one of Pascal VOC.

    Raises:
        DatasetError: It cannot be read, or its outermost element is not `annotation`.
    """
    root = read_xml(path)
    if root.tag != _ROOT:
        raise DatasetError(f"{path}: its outermost element is <{root.tag[:40]}>, and that of Pascal VOC is <{_ROOT}>")
    return root


def photo_named_in(path: Path) -> str:
    """Gives the name of the photo that an XML file states, without the folders before it; empty where there is none."""
    try:
        stated = voc_root(path).value("filename")
    except DatasetError:  # reported when its objects are read
        return ""
    return stated.replace("\\", "/").rpartition("/")[2]


def is_difficult(element: XmlElement, report: Report | None = None) -> bool:
    """Whether an object is marked as difficult, so that it is ignored.

    Args:
        element: The object. Tools write 0 and 1, `0.0`, `true`, `Unspecified`, or nothing.
        report: Receives a value that is neither; the object is then not difficult.
    """
    text = element.value("difficult").lower()
    if text in _NO or text in _YES:
        return text in _YES
    number = _number(text)
    if number is None and report is not None:
        report("bad_number", f"difficult is {text[:20]!r}, neither 0 nor 1; it was taken as 0")
    return bool(number)


def _agrees(root: XmlElement, size: tuple[int, int], path: Path, problems: ProblemList) -> bool:
    """Whether the size that a file states is that of its photo; 0, less, or nothing means that it is not known."""
    stated = root.find("size")
    if stated is None:
        return True
    texts = [stated.value(name) for name in ("height", "width")]
    sides = [_number(text) if text else 0.0 for text in texts]
    shown = " x ".join(text[:20] or "nothing" for text in texts)
    if any(side is None for side in sides):
        problems.add("bad_number", path, stated.line, f"says that its photo is {shown} (height x width), no numbers")
        return False
    if any(side is not None and side > 0 and side != real for side, real in zip(sides, size, strict=True)):
        message = f"says that its photo is {shown} (height x width), and it is {size[0]} x {size[1]}"
        problems.add("wrong_size", path, stated.line, message)
        return False
    return True


def _object(element: XmlElement, size: tuple[int, int], report: Report) -> NamedObject | None:
    name = element.value("name")
    if not name:
        report("unknown_class", "the object has no name")
        return None
    box = _box(element, size, report)
    if box is None:
        return None
    return name, LabelledObject(box, 0, box_area(box), is_difficult(element, report))


def _box(element: XmlElement, size: tuple[int, int], report: Report) -> Box | None:
    boxes = list(element.all("bndbox"))
    if len(boxes) != 1:
        others = [f"<{child.tag}>" for child in element.children if child.tag in _OTHER_SHAPES]
        has = f"{len(boxes)} <bndbox>" if boxes else f"{', '.join(others)} and no <bndbox>" if others else "no <bndbox>"
        report("bad_number", f"the object has {has}; only upright boxes are read")
        return None
    texts = [boxes[0].value(key) for key in _CORNERS]
    x_first, y_first, x_last, y_last = (_number(text) for text in texts)
    if x_first is None or y_first is None or x_last is None or y_last is None:
        report("bad_number", f"xmin, ymin, xmax, ymax are {', '.join(text[:20] or 'missing' for text in texts)}")
        return None
    return checked_box((x_first - 1, y_first - 1, x_last, y_last), size, report)


def _number(text: str) -> float | None:
    """A finite number; None where the text is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
