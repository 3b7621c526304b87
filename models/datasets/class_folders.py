"""Reads images in folders by class: `cat/…jpg`, `dog/…jpg`, or the same below the folder of a split, such as `val/`.

A class is called what its folder is called, and folders within it belong to it; what is hidden or no image is left out.
 A name that is a number is a name all the same, and no class id of a model.
"""

from __future__ import annotations

from pathlib import Path

from models.datasets.classified_photos import ClassifiedPhotos
from models.datasets.data_folder import DataFolder
from models.datasets.folders import class_folders, labelled_images
from models.datasets.label_problems import ProblemList
from models.datasets.packed_images import place_of
from models.datasets.photo_files import spread
from models.datasets.read_options import NoSplit, ReadOptions
from models.datasets.samples import DatasetError


def read_class_folders(folder: Path, options: ReadOptions) -> ClassifiedPhotos:
    """Reads a folder.

    Args:
        folder: With a folder for every class, or with such a folder of a split, which comes first.
        options: For `classification`; a limit takes images evenly from all classes.

    Raises:
        DatasetError: There are no such folders.
        NoSplit: It has no such split.
    """
    if options.kind != "classification":
        raise DatasetError(f"{folder}: folders by class say nothing of where objects are; this model is measured on"
                           " COCO, YOLO, VOC, CSV or masks")  # fmt: skip
    wanted = options.split
    splits = [folder / name for name in (wanted.names[:1] if wanted.unsplit else wanted.names)]
    root = next((split for split in splits if split.is_dir() and class_folders(split)), folder)
    if root == folder and not wanted.unsplit:
        raise NoSplit(f"{folder}: no {wanted.names[0]}/CLASS/")
    class_names = class_folders(root)
    if not class_names:
        raise DatasetError(f"{folder}: no folders with images; looked for {wanted.names[0]}/CLASS/ and CLASS/")
    whole = root.absolute()
    name = f"{whole.parent.name}/{whole.name}" if whole.name == wanted.names[0] else whole.name
    images = labelled_images(root, class_names)
    paths = [place_of(image.path) for image in images]
    DataFolder(folder, allow_outside=options.allow_outside).checked(paths)
    photos = [
        (index, path.relative_to(root).as_posix(), image.class_id)
        for index, (image, path) in enumerate(zip(images, paths, strict=True), 1)
    ]
    return ClassifiedPhotos.of(name, root, class_names, spread(photos, options.limit), ProblemList())
