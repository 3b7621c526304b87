"""Photos of squares and discs with boxes, in several formats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.unit.evaluation_files import write_text

CLASSES = ("square", "disc")
SIDE = 64


def write_photos(folder: Path, split: str, count: int, seed: int) -> None:
    """Writes red squares and green discs on grey, one a photo, in COCO's format."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for number in range(count):
        kind, side = number % 2, int(rng.integers(20, 34))
        top, left = (int(value) for value in rng.integers(0, SIDE - side, 2))
        inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        if kind:
            middle = (side - 1) / 2
            inside = (rows - top - middle) ** 2 + (columns - left - middle) ** 2 <= (side / 2) ** 2
        pixels = np.full((SIDE, SIDE, 3), 120, np.uint8)
        pixels[inside] = (0, 220, 0) if kind else (220, 0, 0)
        name = f"{split}{number}.png"
        Image.fromarray(pixels).save(folder / "images" / name)
        images.append({"id": number + 1, "file_name": name, "width": SIDE, "height": SIDE})
        box = {"bbox": [left, top, side, side], "area": side * side, "iscrowd": 0}
        annotations.append({"id": number + 1, "image_id": number + 1, "category_id": kind + 1, **box})
    categories = [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"instances_{split}.json").write_text(json.dumps(document))


def labelled(folder: Path, split: str) -> list[tuple[Path, str, tuple[int, int, int, int]]]:
    """Gives photo, class and box (left, top, width, height) of everything in a split of COCO's format."""
    document = json.loads((folder / f"instances_{split}.json").read_text())
    files = {row["id"]: folder / "images" / row["file_name"] for row in document["images"]}
    rows: list[dict[str, Any]] = document["annotations"]
    return [(files[row["image_id"]], CLASSES[row["category_id"] - 1], tuple(row["bbox"])) for row in rows]


def as_yolo(coco: Path, folder: Path) -> Path:
    """Writes the same with a text file for every photo; gives `data.yaml`."""
    for split in ("train", "val"):
        for photo, name, (left, top, width, height) in labelled(coco, split):
            shares = [value / SIDE for value in (left + width / 2, top + height / 2, width, height)]
            row = f"{CLASSES.index(name)} {' '.join(map(repr, shares))}\n"
            write_text(folder / "labels" / split / f"{photo.stem}.txt", row)
            shutil.copy(photo, _made(folder / "images" / split) / photo.name)
    text = f"train: images/train\nval: images/val\nnames: [{', '.join(CLASSES)}]\n"
    return write_text(folder / "data.yaml", text)


def as_voc(coco: Path, folder: Path) -> Path:
    """Writes the same with an XML file for every photo; gives the folder."""
    for split in ("train", "val"):
        rows = labelled(coco, split)
        write_text(folder / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{photo.stem}\n" for photo, *_ in rows))
        for photo, name, (left, top, width, height) in rows:
            corners = {"xmin": left + 1, "ymin": top + 1, "xmax": left + width, "ymax": top + height}
            box = "".join(f"<{key}>{value}</{key}>" for key, value in corners.items())
            text = f"<annotation><object><name>{name}</name><bndbox>{box}</bndbox></object></annotation>"
            write_text(folder / "Annotations" / f"{photo.stem}.xml", text)
            shutil.copy(photo, _made(folder / "JPEGImages") / photo.name)
    return folder


def as_csv(coco: Path, folder: Path) -> Path:
    """Writes the same with a table for every split; gives the folder."""
    for split in ("train", "val"):
        lines = ["file,x_min,y_min,x_max,y_max,class"]
        for photo, name, (left, top, width, height) in labelled(coco, split):
            lines.append(f"{photo.name},{left},{top},{left + width},{top + height},{name}")
            shutil.copy(photo, _made(folder / "images") / photo.name)
        write_text(folder / f"{split}.csv", "\n".join(lines) + "\n")
    return folder


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
