"""Reads YOLO data sets: a text file for every photo, with a row for every object.

The format of Ultralytics (https://docs.ultralytics.com/datasets/detect/, …/segment/, …/obb/, …/pose/) and of darknet: a
photo in `images/` has a file of the same name in `labels/`, or beside it; a photo without one has no objects.
"""

from __future__ import annotations

from pathlib import Path

from models.datasets.data_folder import DataFolder, is_file
from models.datasets.label_problems import ProblemList
from models.datasets.labelled_photos import LabelledPhotos, PhotoRows
from models.datasets.photo_files import photo_sizes
from models.datasets.read_options import ReadOptions
from models.datasets.samples import DatasetError
from models.datasets.yolo_folder import YoloFolder, find_yolo
from models.datasets.yolo_rows import YoloRows


def read_yolo(path: Path, options: ReadOptions) -> LabelledPhotos:
    """Reads a folder, or the data set of a settings file.

    Args:
        path: The folder, or its `data.yaml` or `obj.data`.
        options: For `detection`, `keypoints`, `instance` or `semantic`.

    Raises:
        DatasetError: It cannot be used at all.
        NoSplit: It has no such split.
    """
    if options.kind == "classification":
        raise DatasetError(
            f"{path}: YOLO's text files are labels of objects; a classifier is measured on folders by class"
        )
    problems = ProblemList()
    data = DataFolder(path if path.is_dir() else path.parent, allow_outside=options.allow_outside)
    files = find_yolo(path, data, options.split, problems)
    _check_labels(path, files, problems)
    classes = {number: index for index, number in enumerate(files.class_names)}
    names, categories = tuple(files.class_names.values()), tuple(files.class_names)
    skeleton = files.skeleton if options.kind == "keypoints" else None
    if options.kind == "keypoints" and skeleton is None:
        raise DatasetError(f"{path}: no key points; `kpt_shape: [K, 3]` in data.yaml says how many follow a box")
    rows = PhotoRows(files.name, options, files.root, names, categories, problems, skeleton=skeleton)
    texts = YoloRows(classes, options, files.key_points, problems)
    for image_id, (photo, size) in enumerate(zip(files.photos, photo_sizes(files.photos), strict=True), 1):
        if options.enough(len(rows)):
            break
        if isinstance(size, str):
            problems.add("missing_file" if not is_file(photo) else "unreadable", photo, None, size)
            continue
        label = files.labels.of(photo)
        objects = [] if label is None else texts.objects(label, size)
        if objects is not None:
            masked = texts.for_masks and all(item.segment is not None for item in objects)
            rows.add(_below(photo, files.root), image_id, size, objects, masked=masked)
    if options.limit is None:
        files.labels.report_strays(problems)
    texts.suspicion.check()
    return rows.photos()


def _check_labels(path: Path, files: YoloFolder, problems: ProblemList) -> None:
    if not files.labels.any():
        folders = ", ".join(map(str, files.labels.folders[:5]))
        raise DatasetError(f"{path}: no labels; looked in {folders}")
    for folder in files.labels.missing_folders:
        problems.add(
            "missing_file",
            folder,
            None,
            "there is no folder of labels for these photos; they are read as photos without objects",
        )


def _below(path: Path, folder: Path) -> str:
    for root in (folder, folder.absolute()):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return str(path)
