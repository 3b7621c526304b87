"""Writes synthetic images of digits to a folder in COCO's format, for training detectors and segmenters.

    python -m services.evaluation.digits_folder digits/ --train 4000 --val 200
    tapetum train detector --model yolox-nano --data digits/

The training scenes have the digits that are not held back for evaluation; the seeds are others than those of
`tapetum evaluate --data digits`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import orjson

from models.datasets.digits import DigitScenes, Split
from models.datasets.samples import ObjectTarget
from services.evaluation.class_match import ClassMatch
from services.evaluation.lines import category_ids, coco_annotations

_SEEDS: dict[Split, int] = {"train": 1001, "val": 1002}


def main() -> None:
    """Reads the command line and writes the folder."""
    parser = argparse.ArgumentParser(prog="python -m services.evaluation.digits_folder", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=4000, metavar="N", help="scenes to learn from")
    parser.add_argument("--val", type=int, default=200, metavar="N", help="scenes to watch the training by")
    options = parser.parse_args()
    write_digits(options.folder, "train", options.train)
    write_digits(options.folder, "val", options.val)


def write_digits(folder: Path, split: Split, count: int) -> Path:
    """Writes scenes with boxes and masks.

    Args:
        folder: `images/` in it gets the scenes.
        split: Which digits.
        count: How many scenes.

    Returns:
        The annotation file.
    """
    scenes = DigitScenes("instance", _SEEDS[split], count, split)
    categories = category_ids(scenes, ClassMatch.of(scenes, scenes.name, scenes.class_names))
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(count):
        sample = scenes.load(index)
        assert isinstance(sample.target, ObjectTarget)
        name = f"{split}-{sample.name}"
        (folder / "images" / name).write_bytes(sample.image)
        height, width = sample.target.masks[0].size if sample.target.masks else (0, 0)
        images.append({"id": sample.image_id, "file_name": name, "height": height, "width": width})
        for row in coco_annotations(sample.target, sample.image_id, categories):
            annotations.append({"id": len(annotations) + 1, **row})
    named = [{"id": categories[class_id], "name": name} for class_id, name in enumerate(scenes.class_names)]
    path = folder / f"instances_{split}.json"
    path.write_bytes(orjson.dumps({"images": images, "annotations": annotations, "categories": named}))
    return path


if __name__ == "__main__":
    main()
