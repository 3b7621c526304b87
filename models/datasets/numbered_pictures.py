"""Label images whose pixels are ids of objects or classes, validated against their photos."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.datasets.label_problems import ProblemList
from models.datasets.object_masks import NumberedPicture, read_numbers
from models.datasets.photo_dataset import Photo
from models.datasets.photo_files import check_any, digest_of, photo_size, read_photo
from models.datasets.photo_set import PhotoSet
from models.datasets.prefetch import made_ahead
from models.datasets.samples import (
    BACKGROUND,
    IGNORED,
    DatasetError,
    Kind,
    ProblemKind,
    RegionTarget,
    Sample,
)
from models.errors import ImageError

_THREADS = 4


class NumberedObject(NamedTuple):
    """What a picture of numbers holds of one of them.

    Attributes:
        number: Of its pixels.
        box: x_min, y_min, x_max, y_max in pixels.
        area: Its pixels.
    """

    number: int
    box: tuple[float, float, float, float]
    area: float


def numbered_objects(picture: NDArray[np.int64], without: Collection[int] = (0,)) -> list[NumberedObject]:
    """Lists the numbers of a picture, ascending.

    Args:
        picture: (H, W).
        without: Numbers that are no object.
    """
    rows, columns = np.nonzero(~np.isin(picture, list(without)))
    numbers, which, areas = np.unique(picture[rows, columns], return_inverse=True, return_counts=True)
    boxes = np.zeros((len(numbers), 4), np.int64)
    boxes[:, :2] = max(picture.shape)
    for axis, places in enumerate((columns, rows)):
        np.minimum.at(boxes[:, axis], which, places)
        np.maximum.at(boxes[:, axis + 2], which, places + 1)
    found = zip(numbers.tolist(), boxes.astype(np.float64).tolist(), areas.tolist(), strict=True)
    return [NumberedObject(number, (box[0], box[1], box[2], box[3]), float(area)) for number, box, area in found]


class Fault(NamedTuple):
    """Why a picture cannot be used; see `LabelProblem`."""

    kind: ProblemKind
    file: Path
    message: str


def read_pictures(labelled: Sequence[tuple[Path, ...]]) -> Iterator[tuple[NDArray[np.int64], ...] | Fault]:
    """Reads pictures of numbers, several at a time, and holds their sizes to those of their photos.

    Args:
        labelled: A photo and its pictures.

    Yields:
        For each, in order: the pictures, (H, W) each, or why it cannot be used.
    """
    return made_ahead(_pictures, labelled, _THREADS)


def _pictures(paths: tuple[Path, ...]) -> tuple[NDArray[np.int64], ...] | Fault:
    photo, *labels = paths
    try:
        size = photo_size(photo)
    except (OSError, ImageError) as error:
        return Fault("unreadable", photo, str(error))
    pictures: list[NDArray[np.int64]] = []
    for path in labels:
        if not path.is_file():
            return Fault("no_label", path, "there is no such file")
        try:
            pictures.append(read_numbers(path))
        except Exception as error:  # on broken bytes Pillow raises nearly every built-in exception
            return Fault("unreadable", path, str(error).removeprefix(f"{path}: "))
        if pictures[-1].shape != size:
            found = pictures[-1].shape
            message = f"is {found[0]} x {found[1]} (height x width), and its photo is {size[0]} x {size[1]}"
            return Fault("wrong_size", path, message)
    return tuple(pictures)


@dataclass(eq=False)
class ClassMaps(PhotoSet):
    """Photos with a picture whose pixels are ids of classes: an `EvaluationSet` for semantic models.

    Attributes:
        labels: Names of the pictures' files.
        kind: See `EvaluationSet`.
        names_classes: See `LabelledPhotos`.
    """

    labels: tuple[str, ...]
    kind: Kind = "semantic"

    names_classes: bool = True

    @property
    def object_classes(self) -> tuple[str, ...]:
        """See `LabelledPhotos.object_classes`."""
        return self.class_names[1:]

    def with_classes(self, class_names: Sequence[str]) -> ClassMaps:
        """Gives the set, whose classes are the numbers of pixels.

        Raises:
            DatasetError: They are not just these.
        """
        if tuple(class_names) != self.object_classes:
            theirs, ours = ", ".join(self.object_classes), ", ".join(class_names)
            raise DatasetError(f"{self.name}: the classes are {theirs}, and must be {ours}")
        return self

    def photo(self, index: int) -> Photo:
        """Returns an image and its ground truth, for training: of every class one object.

        Raises:
            DatasetError: The picture cannot be read after all.
        """
        picture = self._picture(index)
        found = numbered_objects(picture)
        known = [item for item in found if item.number < len(self.class_names)]
        boxes = np.array([item.box for item in known], np.float64).reshape(-1, 4)
        numbers = tuple(item.number for item in known)
        unknown = tuple(item.number for item in found if item not in known)
        size = (picture.shape[0], picture.shape[1])
        return Photo(
            path=self.folder / self.files[index],
            image_id=int(self.image_ids[index]),
            size=size,
            boxes=boxes.astype(np.float32),
            class_ids=np.array(numbers, np.int64) - 1,
            crowds=np.zeros((0, 4), np.float32),
            masks=NumberedPicture(self.folder / self.labels[index], size, numbers, boxes, unknown),
        )

    def _picture(self, index: int) -> NDArray[np.int64]:
        path = self.folder / self.labels[index]
        try:
            return read_numbers(path)
        except Exception as error:  # as above
            raise DatasetError(f"{path}: {error}") from None

    def load(self, index: int) -> Sample:
        """See `EvaluationSet.load`."""
        picture = self._picture(index)
        image = read_photo(self.folder / self.files[index], (picture.shape[0], picture.shape[1]))
        known = np.where(picture < len(self.class_names), picture, IGNORED).astype(np.uint8)
        return Sample(int(self.image_ids[index]), self.files[index], image, RegionTarget(known))


def read_class_maps(
    name: str,
    folder: Path,
    labelled: Sequence[tuple[Path, Path]],
    class_names: Sequence[str],
    problems: ProblemList,
    limit: int | None,
) -> ClassMaps:
    """Reads pictures of class ids; `IGNORED` and numbers that are no class are what nobody knows.

    Args:
        name: Of the data set.
        folder: What files are below.
        labelled: Photos and their pictures.
        class_names: Of the numbers from 0, the background first.
        problems: Takes what is wrong.
        limit: So many photos, from the first.

    Raises:
        DatasetError: There are too few or too many classes, or no photo can be used.
    """
    if not 2 <= len(class_names) <= IGNORED:
        raise DatasetError(f"{name}: {len(class_names)} classes: there must be 2 to {IGNORED}, the background first")
    kept: list[tuple[int, str, str]] = []
    digest = sha256()
    for image_id, ((photo, label), read) in enumerate(zip(labelled, read_pictures(labelled), strict=True), 1):
        if limit is not None and len(kept) >= limit:
            break
        if isinstance(read, Fault):
            problems.add(read.kind, read.file, None, read.message)
            continue
        unknown = [number for number in np.unique(read[0]).tolist() if len(class_names) <= number != IGNORED]
        if unknown:
            numbers = ", ".join(map(str, unknown[:5]))
            problems.add("unknown_class", label, None, f"pixels of {numbers} are none of {len(class_names)} classes")
        digest.update(read[0].tobytes())
        kept.append((image_id, photo.relative_to(folder).as_posix(), label.relative_to(folder).as_posix()))
    check_any(name, "photo", len(kept), found := problems.in_order())
    names = (BACKGROUND, *class_names[1:])
    files, labels = tuple(file for _, file, _ in kept), tuple(label for _, _, label in kept)
    total = digest_of("semantic", names, files, digest.hexdigest())
    image_ids = np.array([image_id for image_id, _, _ in kept], np.int64)
    return ClassMaps(name, names, tuple(range(len(names))), total, found, folder, files, image_ids, labels)
