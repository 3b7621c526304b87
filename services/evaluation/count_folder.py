"""Makes a data set for classifiers from one with boxes: the class of a photo is how many objects it holds.

    python -m services.evaluation.count_folder DATA OUT --class person --plural people

Writes `OUT/train/CLASS/` and `OUT/val/CLASS/` with copies of the photos, which `tapetum train classifier` and `tapetum
evaluate` read. Classes are those of `models.multitask.counts`; crowds are not counted.
"""

import argparse
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from models.datasets.photo_dataset import Photo
from models.datasets.samples import DatasetError
from models.multitask.counts import count_class, count_class_names
from models.training.photo_data import read_photo_data


def write_counts(photos: Iterable[Photo], class_names: tuple[str, ...], folder: Path) -> int:
    """Copies photos to a folder for each class.

    Args:
        photos: With all boxes that count.
        class_names: From `models.multitask.counts.count_class_names`.
        folder: Where to.

    Returns:
        How many there were.
    """
    count = 0
    for photo in photos:
        place = folder / class_names[count_class(len(photo.boxes))]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy2(photo.path, place / photo.path.name)
        count += 1
    return count


def main() -> None:
    """Reads the command line and writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set with boxes, in any format of docs/datasets.md")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--class", dest="name", default="person", help="which objects to count")
    parser.add_argument("--plural", default="people", help="what several of them are called")
    options = parser.parse_args()
    data = read_photo_data((options.data,), "detection", (options.name,))
    names = count_class_names(options.name, options.plural)
    held_out = data.held_out
    val = (held_out.photo(index) for index in range(len(held_out))) if held_out is not None else ()
    for split, photos in (("train", data.training.photos), ("val", val)):
        print(f"{options.out / split}: {write_counts(photos, names, options.out / split)} photos")


if __name__ == "__main__":
    try:
        main()
    except DatasetError as error:
        sys.exit(f"error: {error}")
