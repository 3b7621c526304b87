"""Reads the masks of single objects of Pascal VOC: two pictures of numbers, of the objects and of their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.datasets.label_problems import Report
from models.datasets.labelled_photos import LabelledPhotos, PhotoRows
from models.datasets.numbered_pictures import Fault, numbered_objects, read_pictures
from models.datasets.object_table import LabelledObject
from models.datasets.samples import IGNORED, DatasetError
from models.datasets.voc_boxes import is_difficult, voc_root


def read_voc_objects(
    rows: PhotoRows, labelled: Sequence[tuple[Path, Path, Path]], annotations: Mapping[Path, Path]
) -> LabelledPhotos:
    """Reads masks; an object is of the class that most of its pixels have.

    Args:
        rows: Takes them; its class names are those of the numbers from 1.
        labelled: Photos, their pictures of class ids, and those of objects' numbers; 255 is nobody's in both.
        annotations: XML files by their photos, which say what is difficult: the n-th object is number n.

    Raises:
        DatasetError: Nothing can be used.
    """
    for image_id, (paths, read) in enumerate(zip(labelled, read_pictures(labelled), strict=True), 1):
        if rows.options.enough(len(rows)):
            break
        if isinstance(read, Fault):
            rows.problems.add(read.kind, read.file, None, read.message)
            continue
        photo, _, label = paths
        classes, numbers = read
        difficult = _difficult(annotations.get(photo), rows.class_names)
        report = rows.problems.at(label, None)
        objects = _objects(classes, numbers, len(rows.class_names), difficult, report)
        picture = label.relative_to(rows.folder).as_posix()
        rows.add(photo.relative_to(rows.folder).as_posix(), image_id, (*classes.shape,), objects, picture)
    return rows.photos()


def _objects(
    classes: NDArray[np.int64],
    numbers: NDArray[np.int64],
    class_count: int,
    difficult: Mapping[int, int],
    report: Report,
) -> list[LabelledObject]:
    objects: list[LabelledObject] = []
    for number, box, area in numbered_objects(numbers, (0, IGNORED)):
        x_min, y_min, x_max, y_max = map(int, box)
        own = classes[y_min:y_max, x_min:x_max][numbers[y_min:y_max, x_min:x_max] == number]
        class_id = int(np.bincount(own).argmax()) - 1
        if 0 <= class_id < class_count:
            crowd = difficult.get(number) == class_id
            objects.append(LabelledObject(box, class_id, area, crowd, number=number))
        else:
            report("unknown_class", f"most pixels of object {number} are of class {class_id + 1}")
    return objects


def _difficult(path: Path | None, class_names: Sequence[str]) -> dict[int, int]:
    """Numbers of objects that are not to be judged, and their class ids; the n-th object of the file is number n."""
    try:
        elements = [] if path is None else list(voc_root(path).all("object"))
    except DatasetError:  # the masks do without
        return {}
    found: dict[int, int] = {}
    for number, element in enumerate(elements, 1):
        name = element.value("name")
        if is_difficult(element) and name in class_names:
            found[number] = class_names.index(name)
    return found
