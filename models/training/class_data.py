"""The training and validation images of a classifier, from any data-set format."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.datasets.classified_photos import ClassifiedPhotos
from models.datasets.folders import LabelledImage
from models.datasets.opening import open_classes
from models.datasets.packed_images import image_file, place_of
from models.datasets.photo_dataset import DatasetError
from models.datasets.samples import LabelProblem


@dataclass(frozen=True)
class ClassData:
    """Images by class.

    Attributes:
        name: Of the data set, for people.
        class_names: At least two.
        train: To learn from.
        val: Held out; at least one image, but perhaps not of every class.
        fingerprint: Changes with any file's place or class.
        problems: Labels that are wrong, and were left out.
    """

    name: str
    class_names: tuple[str, ...]
    train: tuple[LabelledImage, ...]
    val: tuple[LabelledImage, ...]
    fingerprint: str
    problems: tuple[LabelProblem, ...] = ()


def read_class_data(data: Path, val_share: float, seed: int, allow_outside: bool = False) -> ClassData:
    """Lists the images of a data set.

    Args:
        data: Folders by class, or a table, as `docs/datasets.md` describes them.
        val_share: Where it has no val split: the share of each class that is held out, 0 to 1, of two images or more
            at least one.
        seed: Of the choice of those.
        allow_outside: Whether labels and links may lead to files outside the data folder.

    Returns:
        The images, by class and name in folders by class, and in the order of a table.

    Raises:
        DatasetError: It has fewer than two classes, a class in its val split alone, or too few images.
    """
    learned, held_out = open_classes(str(data), allow_outside)
    images = _labelled(learned, learned.class_names)
    if held_out is not None:
        val = _labelled(held_out, learned.class_names)
        seen = {image.path for image in val}
        train = tuple(image for image in images if image.path not in seen)
    elif learned.folder == data / "train":
        raise DatasetError(f"{data / 'val'}: no such folder, but there is {learned.folder}")
    else:
        train, val = _split(images, val_share, seed)
    _check(data, learned.class_names, train, val)
    folder = data if data.is_dir() else data.parent
    problems = tuple(dict.fromkeys((*learned.problems, *(held_out.problems if held_out else ()))))
    return ClassData(folder.resolve().name, learned.class_names, train, val, _fingerprint(folder, train, val), problems)


def _labelled(photos: ClassifiedPhotos, class_names: Sequence[str]) -> tuple[LabelledImage, ...]:
    unknown = [name for name in photos.class_names if name not in class_names]
    if unknown:
        raise DatasetError(f"{photos.folder / unknown[0]}: no images of this class to learn from")
    ids = [class_names.index(name) for name in photos.class_names]
    class_ids: list[int] = photos.class_ids.tolist()
    pairs = zip(photos.files, class_ids, strict=True)
    return tuple(LabelledImage(image_file(photos.folder, file), ids[class_id]) for file, class_id in pairs)


def _split(
    labelled: Sequence[LabelledImage], val_share: float, seed: int
) -> tuple[tuple[LabelledImage, ...], tuple[LabelledImage, ...]]:
    """Holds out a share of every class, but never all of it."""
    held_out: set[LabelledImage] = set()
    for class_id in sorted({image.class_id for image in labelled}):
        own = [image for image in labelled if image.class_id == class_id]
        count = min(len(own) - 1, max(1, round(val_share * len(own))))
        order: list[int] = np.random.default_rng((seed, class_id)).permutation(len(own)).tolist()
        held_out |= {own[index] for index in order[:count]}
    learned = tuple(image for image in labelled if image not in held_out)
    return learned, tuple(image for image in labelled if image in held_out)


def _check(
    data: Path,
    class_names: Sequence[str],
    learned: Sequence[LabelledImage],
    held_out: Sequence[LabelledImage],
) -> None:
    if len(class_names) < 2:
        found = f"only images of {class_names[0]!r}" if class_names else "no folders with images"
        raise DatasetError(f"{data}: {found}; a classifier needs a folder of images for each of two classes or more")
    if not held_out:
        raise DatasetError(f"{data}: nothing to hold out; some class needs two images or more")
    if len(learned) < 2:
        raise DatasetError(f"{data}: too few images to learn from")


def _fingerprint(folder: Path, *splits: tuple[LabelledImage, ...]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(b"\n\n")
        for image in split:
            place = place_of(image.path)
            path = place.relative_to(folder) if place.is_relative_to(folder) else place
            line = f"{path.as_posix()}\n{image.class_id}\n"
            digest.update(line.encode(errors="replace"))
    return digest.hexdigest()[:12]
