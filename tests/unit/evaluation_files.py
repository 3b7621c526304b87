"""Small data sets on disk, for tests of their readers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.datasets.samples import ClassTarget, EvaluationSet, ObjectTarget, RegionTarget

HEIGHT, WIDTH = 60, 100


def write_photo(path: Path, height: int = HEIGHT, width: int = WIDTH) -> Path:
    """Writes a grey photo, 60 x 100 (height x width) unless told otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 120, 150)).save(path)
    return path


def write_numbers(path: Path, numbers: Any, bits: int = 8) -> Path:
    """Writes a PNG whose pixels are numbers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(numbers, np.uint8 if bits == 8 else np.uint16)).save(path)
    return path


def write_text(path: Path, text: str) -> Path:
    """Writes a text file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_coco(
    folder: Path,
    annotations: Sequence[dict[str, Any]],
    images: Sequence[dict[str, Any]] | None = None,
    name: str = "instances_val.json",
) -> Path:
    """Writes an annotation file of cats (3) and dogs (7), an annotation a line, with photos `1.png` and `2.png`."""
    rows = images
    if rows is None:
        rows = [{"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH} for number in (1, 2)]
    for number in (1, 2):
        write_photo(folder / "images" / f"{number}.png")
    categories = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]
    sections = {"images": rows, "annotations": annotations, "categories": categories}
    text = ",\n".join(
        f'"{key}": [\n' + ",\n".join(json.dumps(row) for row in section) + "\n]" for key, section in sections.items()
    )
    return write_text(folder / name, "{" + text + "}")


def objects(data: EvaluationSet, index: int) -> ObjectTarget:
    """Gives the objects of an image."""
    target = data.load(index).target
    assert isinstance(target, ObjectTarget)
    return target


def class_map(data: EvaluationSet, index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Gives the class of every pixel of an image."""
    target = data.load(index).target
    assert isinstance(target, RegionTarget)
    return target.class_map


def problems(data: EvaluationSet) -> list[tuple[str, int | None]]:
    """Gives kind and line of every problem."""
    return [(problem.kind, problem.line) for problem in data.problems]


def classes(data: EvaluationSet) -> dict[str, str]:
    """The class name of every image, by the image's name."""
    found: dict[str, str] = {}
    for index in range(len(data)):
        sample = data.load(index)
        assert isinstance(sample.target, ClassTarget)
        found[sample.name] = data.class_names[sample.target.class_id]
    return found
