"""A clean file in COCO's format, and ways in which tools write its members otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Document = dict[str, Any]
Spell = Callable[[Any], Any]
NAN = float("nan")


def clean() -> Document:
    """Two photos of 60 x 100; two cats and a dog with boxes, areas and polygons that agree with each other."""
    images = [{"id": number, "file_name": f"{number}.png", "height": 60, "width": 100} for number in (1, 2)]
    boxes = [(1, 3, (10.0, 10.0, 20.0, 20.0)), (1, 7, (40.0, 5.0, 30.0, 50.0)), (2, 3, (0.0, 0.0, 100.0, 60.0))]
    annotations: list[dict[str, Any]] = []
    for image_id, category_id, (x, y, w, h) in boxes:
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        row = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category_id, "iscrowd": 0}
        annotations.append({**row, "bbox": [x, y, w, h], "area": w * h, "segmentation": [polygon]})
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    return {"images": images, "annotations": annotations, "categories": categories}


IDS: dict[str, Spell] = {
    "float": float,
    "text": str,
    "float as text": lambda value: f"{value}.0",
    "true": lambda value: True,
    "half": lambda value: value + 0.5,
    "word": lambda value: f"id-{value}",
    "null": lambda value: None,
    "NaN": lambda value: NAN,
    "list": lambda value: [value],
    "another": lambda value: value + 100,
    "huge": lambda value: value + 2**64,
    "huge float": lambda value: value + 1e300,
}
NUMBERS: dict[str, Spell] = {
    "float": float,
    "text": str,
    "spaces": lambda value: f" {value} ",
    "comma": lambda value: f"{value}".replace(".", ","),
    "null": lambda value: None,
    "NaN": lambda value: NAN,
    "infinite": lambda value: float("inf"),
    "huge": lambda value: 10**400,
    "list": lambda value: [value],
    "true": lambda value: True,
    "unit": lambda value: f"{value}px",
}
SIDES: dict[str, Spell] = {**NUMBERS, "zero": lambda value: 0, "minus one": lambda value: -1, "half": lambda v: v + 0.5}
CROWDS: dict[str, Spell] = {
    "false": lambda value: False,
    "text": lambda value: "0",
    "float": lambda value: 0.0,
    "word": lambda value: "False",
    "null": lambda value: None,
    "empty": lambda value: "",
    "list": lambda value: [],
    "NaN": lambda value: NAN,
    "other": lambda value: "no idea",
}
BOXES: dict[str, Spell] = {
    "texts": lambda value: list(map(str, value)),
    "ints": lambda value: list(map(int, value)),
    "null": lambda value: None,
    "empty": lambda value: [],
    "three": lambda value: value[:3],
    "five": lambda value: [*value, 0],
    "nested": lambda value: [value],
    "NaN": lambda value: [NAN, *value[1:]],
    "text": lambda value: " ".join(map(str, value)),
    "object": lambda value: {"x": value[0]},
}
POLYGONS: dict[str, Spell] = {
    "flat": lambda value: value[0],
    "texts": lambda value: [list(map(str, value[0]))],
    "empty": lambda value: [],
    "empty object": lambda value: {},
    "null": lambda value: None,
    "one empty": lambda value: [[]],
    "points": lambda value: [[value[0][place : place + 2] for place in range(0, 8, 2)]],
    "four": lambda value: [value[0][:4]],
    "runs of another size": lambda value: {"size": [100, 60], "counts": [0, 6000]},
    "bytes": lambda value: {"size": [60, 100], "counts": "b'0`k5'"},
    "text": lambda value: "polygon",
}
FILES: dict[str, Spell] = {
    "folder": lambda value: f"images/{value}",
    "backslash": lambda value: f"images\\{value}",
    "dot": lambda value: f"./{value}",
    "dot backslash": lambda value: f".\\{value}",
    "upper": lambda value: value.upper(),
    "encoded": lambda value: value.replace(".", "%2E"),
    "gone": lambda value: f"gone-{value}",
    "outside": lambda value: f"../../{value}",
    "absolute": lambda value: f"/{value}",
    "url": lambda value: f"https://images.example/{value}",
    "null": lambda value: None,
    "number": lambda value: 1,
    "long": lambda value: value * 1000,
}
SPELLINGS: dict[tuple[str, str], dict[str, Spell]] = {
    ("images", "id"): IDS,
    ("images", "file_name"): FILES,
    ("images", "height"): SIDES,
    ("images", "width"): SIDES,
    ("annotations", "id"): IDS,
    ("annotations", "image_id"): IDS,
    ("annotations", "category_id"): IDS,
    ("annotations", "iscrowd"): CROWDS,
    ("annotations", "bbox"): BOXES,
    ("annotations", "area"): {**NUMBERS, "zero": lambda value: 0, "minus one": lambda value: -1},
    ("annotations", "segmentation"): POLYGONS,
    ("categories", "id"): IDS,
}
READ: dict[tuple[str, str], tuple[str, ...]] = {
    ("images", "id"): ("float", "text", "float as text"),
    ("images", "height"): ("float", "text", "null", "zero", "minus one", "absent"),
    ("images", "width"): ("float", "text", "null", "zero", "minus one", "absent"),
    ("images", "file_name"): ("folder", "backslash", "dot", "upper", "encoded"),
    ("annotations", "image_id"): ("float", "text", "float as text"),
    ("annotations", "category_id"): ("float", "text", "float as text"),
    ("annotations", "iscrowd"): ("false", "text", "float", "word", "null", "empty", "absent"),
    ("annotations", "bbox"): ("texts", "ints", "null", "empty", "absent"),
    ("annotations", "area"): ("float", "text", "null", "zero", "absent"),
    ("annotations", "segmentation"): ("flat", "texts"),
    ("categories", "id"): ("float", "text", "float as text"),
}
"""Those of real tools, which are all read as the clean file."""


def all_spellings() -> Iterator[tuple[str, str, str]]:
    """Section, member and spelling of everything above."""
    for (section, member), spells in SPELLINGS.items():
        yield from ((section, member, name) for name in (*spells, "absent"))


def spelled(document: Document, section: str, member: str, name: str, index: int | None = None) -> Document:
    """Writes a member otherwise, in one row or, where no index is given, in all."""
    document = copy.deepcopy(document)
    rows = document[section]
    for row in rows if index is None else [rows[index % len(rows)]]:
        if name == "absent":
            row.pop(member, None)
        elif member in row:
            row[member] = SPELLINGS[section, member][name](row[member])
    return document
