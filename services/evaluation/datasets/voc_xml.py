"""Reads Pascal VOC folders: boxes from XML files, masks from pictures of numbers.

VOC counts pixels from 1 and names the last one of a box (`Top left pixel co-ordinates : (1, 1)`, as the annotation
files of VOC2006 say; http://host.robots.ox.ac.uk/pascal/VOC/). So its box from 1 to 10 is one from 0 to 10 here. What
is `difficult` VOC does not count, found or not; here it becomes a crowd: nothing that is found there counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from models.training.data_folder import DataFolder
from models.training.folders import image_files
from services.evaluation.datasets.label_problems import ProblemList, Report
from services.evaluation.datasets.labelled_boxes import Box, box_area, checked_box
from services.evaluation.datasets.labelled_photos import LabelledPhotos, PhotoRows
from services.evaluation.datasets.numbered_pictures import ClassMaps, read_class_maps
from services.evaluation.datasets.object_table import LabelledObject
from services.evaluation.datasets.photo_files import photo_sizes
from services.evaluation.datasets.text_files import names_in
from services.evaluation.datasets.voc_objects import read_voc_objects
from services.evaluation.datasets.xml_lines import XmlElement, read_xml
from services.evaluation.samples import BACKGROUND, DatasetError, Kind

ANNOTATIONS: Final = "Annotations"
CLASS_MAPS: Final = "SegmentationClass"

_PHOTOS: Final = "JPEGImages"
_OBJECT_MAPS: Final = "SegmentationObject"
_SPLITS: Final = ("val", "test")
_CLASSES: Final = "classes.txt"
_VOC_CLASSES: Final = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Of the pixels 1 to 20, in alphabetical order (VOC2012 development kit)."""


def read_voc(
    folder: Path, kind: Kind, limit: int | None = None, allow_outside: bool = False
) -> LabelledPhotos | ClassMaps:
    """Reads a folder.

    Args:
        folder: With `Annotations/`, or `SegmentationClass/`, and `JPEGImages/`. Of the lists in `ImageSets/Main/` (for
            masks, `ImageSets/Segmentation/`) `val.txt` is read, or else `test.txt`; without either, every annotation.
        kind: `detection`, `instance` or `semantic`.
        limit: So many photos, from the first of the list, or by name.
        allow_outside: Whether its labels may name files outside the data folder.

    Raises:
        DatasetError: It cannot be used at all.
    """
    if kind == "classification":
        raise DatasetError(f"{folder}: photos of Pascal VOC show several classes; a classifier is measured on folders"
                           " by class")  # fmt: skip
    data = DataFolder(folder, allow_outside=allow_outside)
    photos = {path.stem: path for path in data.checked(_files(folder, _PHOTOS, "images"))}
    if not photos:
        raise DatasetError(f"{folder}: no photos in {_PHOTOS}/ or images/")
    if kind == "detection":
        return _read_boxes(folder, photos, limit)
    return _read_masks(folder, kind, photos, limit)


def _read_masks(folder: Path, kind: Kind, photos: Mapping[str, Path], limit: int | None) -> LabelledPhotos | ClassMaps:
    problems = ProblemList()
    stems, name, listed = _stems(folder, "Segmentation", CLASS_MAPS, ".png")
    pairs = _present(folder, stems, photos, problems, listed)
    class_names = names_in(folder / _CLASSES) if (folder / _CLASSES).is_file() else (BACKGROUND, *_VOC_CLASSES)
    labelled = [(photo, folder / CLASS_MAPS / f"{stem}.png") for stem, photo in pairs]
    if kind == "semantic":
        return read_class_maps(name, folder, labelled, class_names, problems, limit)
    rows = PhotoRows(name, kind, folder, class_names[1:], tuple(range(1, len(class_names))), problems, True)
    annotations = {stem: path for stem, _ in pairs if (path := folder / ANNOTATIONS / f"{stem}.xml").is_file()}
    pictures = [(photo, classes, folder / _OBJECT_MAPS / classes.name) for photo, classes in labelled]
    return read_voc_objects(rows, pictures, annotations, limit)


def _files(folder: Path, *names: str) -> Iterator[Path]:
    found = next((folder / name for name in names if (folder / name).is_dir()), None)
    return iter(()) if found is None else image_files(found)


def _stems(folder: Path, sets: str, labels: str, suffix: str) -> tuple[list[str], str, bool]:
    """Names of photos, the name of the data set, and whether there is a list of them."""
    name = folder.absolute().name
    for split in _SPLITS:
        path = folder / "ImageSets" / sets / f"{split}.txt"
        if path.is_file():
            return [line.split()[0] for line in names_in(path)], f"{name}/{split}", True
    stems = sorted(path.stem for path in (folder / labels).glob(f"*{suffix}") if not path.name.startswith("."))
    if not stems:
        raise DatasetError(
            f"{folder}: no labels; looked for {labels}/*{suffix}, and ImageSets/{sets}/val.txt or test.txt"
        )
    return stems, name, False


def _present(
    folder: Path, stems: Sequence[str], photos: Mapping[str, Path], problems: ProblemList, listed: bool
) -> list[tuple[str, Path]]:
    """The photos that there are, each once."""
    found: dict[str, Path] = {}
    for stem in stems:
        if stem in found:
            problems.add("duplicate", folder / _PHOTOS / stem, None, "the list names this photo twice")
        elif stem in photos:
            found[stem] = photos[stem]
        else:
            wanted = "the list names it" if listed else "there are labels of it"
            problems.add("missing_file", folder / _PHOTOS / stem, None, f"there is no photo of this name, and {wanted}")
    return list(found.items())


def _read_boxes(folder: Path, photos: Mapping[str, Path], limit: int | None) -> LabelledPhotos:
    problems = ProblemList()
    stems, name, listed = _stems(folder, "Main", ANNOTATIONS, ".xml")
    if not listed:
        for stem in sorted(photos.keys() - set(stems)):
            problems.add("no_label", folder / ANNOTATIONS / f"{stem}.xml", None, "there is no such file")
    read = _read_objects(folder, _present(folder, stems, photos, problems, listed), problems, limit)
    names = sorted({class_name for *_, objects in read for class_name, _ in objects})
    ids = {class_name: index for index, class_name in enumerate(names)}
    rows = PhotoRows(name, "detection", folder, tuple(names), tuple(range(1, len(names) + 1)), problems)
    for image_id, photo, size, objects in read:
        named = [item._replace(class_id=ids[class_name]) for class_name, item in objects]
        rows.add(photo.relative_to(folder).as_posix(), image_id, size, named)
    return rows.photos()


def _read_objects(
    folder: Path, photos: Sequence[tuple[str, Path]], problems: ProblemList, limit: int | None
) -> list[tuple[int, Path, tuple[int, int], list[tuple[str, LabelledObject]]]]:
    """Image id, file, size, and the objects of every photo that can be used, with the names of their classes."""
    read: list[tuple[int, Path, tuple[int, int], list[tuple[str, LabelledObject]]]] = []
    sizes = photo_sizes(path for _, path in photos)
    for image_id, ((stem, photo), size) in enumerate(zip(photos, sizes, strict=True), 1):
        if limit is not None and len(read) >= limit:
            break
        if isinstance(size, str):
            problems.add("unreadable", photo, None, size)
            continue
        objects = _objects(folder / ANNOTATIONS / f"{stem}.xml", size, problems)
        if objects is not None:
            read.append((image_id, photo, size, objects))
    return read


def _objects(path: Path, size: tuple[int, int], problems: ProblemList) -> list[tuple[str, LabelledObject]] | None:
    """The objects of a photo and the names of their classes; None where it cannot be used."""
    if not path.is_file():
        problems.add("no_label", path, None, "there is no such file")
        return None
    try:
        root = read_xml(path)
    except DatasetError as error:
        problems.add("unreadable", path, None, str(error).removeprefix(f"{path}: "))
        return None
    stated = root.find("size")
    if stated is not None:
        height, width = stated.value("height"), stated.value("width")
        if (height, width) not in ((str(size[0]), str(size[1])), ("0", "0"), ("", "")):
            message = f"says that its photo is {height} x {width} (height x width), and it is {size[0]} x {size[1]}"
            problems.add("wrong_size", path, stated.line, message)
            return None
    found = [_object(element, size, problems.at(path, element.line)) for element in root.all("object")]
    return [item for item in found if item is not None]


def _object(element: XmlElement, size: tuple[int, int], report: Report) -> tuple[str, LabelledObject] | None:
    name = element.value("name")
    if not name:
        report("unknown_class", "the object has no name")
        return None
    box = _box(element, size, report)
    if box is None:
        return None
    return name, LabelledObject(box, 0, box_area(box), is_difficult(element))


def is_difficult(element: XmlElement) -> bool:
    """Whether an object is not to be judged."""
    return element.value("difficult") == "1"


def _box(element: XmlElement, size: tuple[int, int], report: Report) -> Box | None:
    values = [element.value("bndbox", key) for key in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x_first, y_first, x_last, y_last = map(float, values)
    except ValueError:
        report("bad_number", f"xmin, ymin, xmax, ymax are {', '.join(value[:20] or 'missing' for value in values)}")
        return None
    return checked_box((x_first - 1, y_first - 1, x_last, y_last), size, report)
