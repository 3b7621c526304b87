"""Reads Pascal VOC folders: boxes from XML files, masks from label images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from models.datasets.data_folder import DataFolder
from models.datasets.folder_names import files_below, stem_below
from models.datasets.label_problems import ProblemList
from models.datasets.labelled_photos import LabelledPhotos, PhotoRows
from models.datasets.numbered_pictures import ClassMaps, read_class_maps
from models.datasets.photo_files import photo_sizes
from models.datasets.read_options import ReadOptions
from models.datasets.samples import BACKGROUND, DatasetError
from models.datasets.text_files import names_in
from models.datasets.voc_boxes import NamedObject, photo_named_in, read_voc_boxes
from models.datasets.voc_folder import (
    ANNOTATIONS,
    CLASS_MAPS,
    ListedPhoto,
    VocFolder,
    find_voc,
    listed_photos,
    present_photos,
)
from models.datasets.voc_objects import read_voc_objects

_OBJECT_MAPS: Final = "SegmentationObject"
_CLASSES: Final = "classes.txt"
_COLOURS: Final = "labelmap.txt"
_VOC_CLASSES: Final = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Of the pixels 1 to 20, in alphabetical order (VOC2012 development kit)."""


def read_voc(folder: Path, options: ReadOptions) -> LabelledPhotos | ClassMaps:
    """Reads a folder.

    Args:
        folder: With `Annotations/`, or `SegmentationClass/`, and photos; see `find_voc`. Of the lists in
            `ImageSets/Main/` (for masks, `ImageSets/Segmentation/`) one is read; without any, every annotation.
        options: For `detection`, `instance` or `semantic`.

    Raises:
        DatasetError: It cannot be used at all.
        NoSplit: It has no such split.
    """
    if options.kind == "classification":
        raise DatasetError(f"{folder}: photos of Pascal VOC show several classes; a classifier is measured on folders"
                           " by class")  # fmt: skip
    problems = ProblemList()
    files = find_voc(folder, DataFolder(folder, allow_outside=options.allow_outside), options.split, problems)
    if options.kind == "detection":
        return _read_boxes(files, problems, options)
    return _read_masks(files, problems, options)


def _read_masks(files: VocFolder, problems: ProblemList, options: ReadOptions) -> LabelledPhotos | ClassMaps:
    root = files.root
    maps = {stem_below(path, root / CLASS_MAPS): path for path in files.data.checked(_pictures(root / CLASS_MAPS))}
    listed, name = _listed(files, "Segmentation", CLASS_MAPS, ".png", maps)
    class_names = _class_names(root)
    labelled = [
        (stem, photo, maps.get(stem, root / CLASS_MAPS / f"{stem}.png"))
        for stem, photo in present_photos(files, listed, problems)
    ]
    if options.kind == "semantic":
        return read_class_maps(
            name, root, [(photo, classes) for _, photo, classes in labelled], class_names, problems, options.limit
        )
    rows = PhotoRows(name, options, root, class_names[1:], tuple(range(1, len(class_names))), problems, True)
    pictures = [
        (photo, classes, root / _OBJECT_MAPS / classes.relative_to(root / CLASS_MAPS)) for _, photo, classes in labelled
    ]
    files.data.checked(path for _, _, path in pictures)
    annotations = {photo: path for stem, photo, _ in labelled if (path := files.annotations.of(stem)) is not None}
    return read_voc_objects(rows, pictures, annotations)


def _pictures(folder: Path) -> list[Path]:
    return list(files_below(folder, ".png")) if folder.is_dir() else []


def _class_names(root: Path) -> tuple[str, ...]:
    """Names of pixels; those of VOC where no file names others."""
    if (root / _CLASSES).is_file():
        return names_in(root / _CLASSES)
    if (root / _COLOURS).is_file():
        raise DatasetError(f"{root / _COLOURS}: names classes by colours, and masks are read as class ids; write the"
                           f" names into {root / _CLASSES}, the background first, or export COCO")  # fmt: skip
    return BACKGROUND, *_VOC_CLASSES


def _listed(
    files: VocFolder, sets: str, place: str, suffix: str, labelled: Mapping[str, Path]
) -> tuple[list[ListedPhoto], str]:
    listed, name = listed_photos(files, sets, labelled)
    if not listed:
        lists = f"ImageSets/{sets}/{' or '.join(f'{split}.txt' for split in files.wanted.names)}"
        raise DatasetError(f"{files.root}: no labels; looked for {place}/*{suffix}, and {lists}")
    return listed, name


def _read_boxes(files: VocFolder, problems: ProblemList, options: ReadOptions) -> LabelledPhotos:
    _add_renamed(files)
    listed, name = _listed(files, "Main", ANNOTATIONS, ".xml", files.annotations)
    photos = list(present_photos(files, listed, problems))
    if listed[0].line is None:
        _report_unlabelled(files, {photo for _, photo in photos}, problems)
    read = _read_objects(files, photos, problems, options)
    names = sorted({class_name for *_, objects in read for class_name, _ in objects})
    ids = {class_name: index for index, class_name in enumerate(names)}
    rows = PhotoRows(name, options, files.root, tuple(names), tuple(range(1, len(names) + 1)), problems)
    rows.names_classes = False
    for image_id, photo, size, objects in read:
        named = [item._replace(class_id=ids[class_name]) for class_name, item in objects]
        rows.add(photo.relative_to(files.root).as_posix(), image_id, size, named)
    return rows.photos()


def _add_renamed(files: VocFolder) -> None:
    """Photos of XML files that have another name, and state it; where the names agree, what is stated does not count.

    LabelImg and others copy the name of an earlier photo, its suffix, or its path on another machine.
    """
    by_name = {photo.name: (stem, photo) for stem, photo in files.photos.items()}
    for stem, path in files.annotations.items():
        if files.photos.of(stem) is None and (name := photo_named_in(path)) in by_name:
            own, photo = by_name[name]
            if files.annotations.of(own) is None:
                files.photos[stem] = photo


def _report_unlabelled(files: VocFolder, labelled: set[Path], problems: ProblemList) -> None:
    for stem, photo in sorted(files.photos.items()):
        if photo not in labelled:
            place = files.root / ANNOTATIONS if (files.root / ANNOTATIONS).is_dir() else photo.parent
            problems.add("no_label", place / f"{stem}.xml", None, "there is no such file")


def _read_objects(
    files: VocFolder, photos: Sequence[tuple[str, Path]], problems: ProblemList, options: ReadOptions
) -> list[tuple[int, Path, tuple[int, int], list[NamedObject]]]:
    """Image id, file, size, and the objects of every photo that can be used, with the names of their classes."""
    read: list[tuple[int, Path, tuple[int, int], list[NamedObject]]] = []
    sizes = photo_sizes(path for _, path in photos)
    for image_id, ((stem, photo), size) in enumerate(zip(photos, sizes, strict=True), 1):
        if options.enough(len(read)):
            break
        if isinstance(size, str):
            problems.add("unreadable", photo, None, size)
            continue
        path = files.annotations.of(stem)
        if path is None:
            problems.add("no_label", files.root / ANNOTATIONS / f"{stem}.xml", None, "there is no such file")
            continue
        objects = read_voc_boxes(path, size, problems)
        if objects is not None:
            read.append((image_id, photo, size, objects))
    return read
