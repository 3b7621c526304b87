"""Photos whose objects or classes are known: what every reader makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.datasets.label_problems import ProblemList
from models.datasets.object_masks import CocoMasks, read_numbers, rectangle
from models.datasets.object_table import LabelledObject, ObjectRows, ObjectTable
from models.datasets.photo_files import check_any, digest_of, read_photo
from models.datasets.samples import (
    BACKGROUND,
    IGNORED,
    DatasetError,
    Kind,
    LabelProblem,
    ObjectTarget,
    RegionTarget,
    Sample,
    Target,
)
from models.geometry.masks import Mask


@dataclass(eq=False)
class LabelledPhotos:
    """Photos with objects, read for detection, instance or semantic masks: an `EvaluationSet`.

    Masks are drawn when a photo is loaded, so that the set weighs no more than its labels. For a semantic model crowds
    are `IGNORED`, and where objects overlap the later one of the file is on top.

    Attributes:
        name: See `EvaluationSet`.
        kind: See there.
        class_names: See there.
        category_ids: See there.
        digest: See there.
        problems: See there.
        folder: What the names of files are below.
        files: Names of the photos' files; absolute paths stay what they are.
        image_ids: (N,) int64.
        sizes: (N, 2) int64, (height, width) of the upright photos in pixels.
        objects: Of all photos.
        pictures: Paths of the pictures of numbers that hold the masks; empty where segments do, or nothing does.
    """

    name: str
    kind: Kind
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    digest: str
    problems: Sequence[LabelProblem]
    folder: Path
    files: tuple[str, ...]
    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int64]
    objects: ObjectTable
    pictures: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def load(self, index: int) -> Sample:
        """See `EvaluationSet.load`."""
        file = self.files[index]
        height, width = self.sizes[index].tolist()
        image = read_photo(self.folder / file, (height, width))
        return Sample(int(self.image_ids[index]), file, image, self._target(index, (height, width)))

    def _target(self, index: int, size: tuple[int, int]) -> Target:
        own, table = self.objects.of(index), self.objects
        masks = None if self.kind == "detection" else self._masks(index, own, size)
        if self.kind == "semantic" and masks is not None:
            return RegionTarget(_painted(masks, table.class_ids[own], table.crowds[own], size))
        return ObjectTarget(table.boxes[own], table.class_ids[own], table.areas[own], table.crowds[own], masks)

    def _masks(self, index: int, own: slice, size: tuple[int, int]) -> tuple[Mask, ...]:
        table = self.objects
        try:
            if self.pictures:
                picture = read_numbers(self.folder / self.pictures[index])
                return _cut_out(picture, table.boxes[own], table.numbers[own], size)
            assert table.segments is not None
            around = zip(table.segments.of(own), table.boxes[own].tolist(), strict=True)
            return tuple(CocoMasks(size, [segment or rectangle(box) for segment, box in around]).objects())
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self.folder / self.files[index]}: its masks cannot be read: {error}") from None


@dataclass
class PhotoRows:
    """Collects photos with their objects, and makes a set of them.

    Attributes:
        name: Of the set.
        kind: What it is read for.
        folder: What the names of files are below.
        class_names: Of the objects, in the order of their ids; no background among them.
        category_ids: The data set's own numbers of these.
        problems: Those found so far.
        in_pictures: Whether masks are in pictures of numbers.
    """

    name: str
    kind: Kind
    folder: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    problems: ProblemList
    in_pictures: bool = False
    _files: list[str] = field(default_factory=list[str])
    _pictures: list[str] = field(default_factory=list[str])
    _image_ids: list[int] = field(default_factory=list[int])
    _sizes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])

    def __post_init__(self) -> None:
        self._objects = ObjectRows(self.kind != "detection" and not self.in_pictures)
        if self.kind == "semantic" and len(self.class_names) >= IGNORED:
            raise DatasetError(f"{self.name}: {len(self.class_names)} classes; a class map holds {IGNORED - 1} at most")

    def __len__(self) -> int:
        return len(self._files)

    def add(
        self, file: str, image_id: int, size: tuple[int, int], objects: Sequence[LabelledObject], picture: str = ""
    ) -> None:
        """Adds a photo.

        Args:
            file: Its name below the folder, or its absolute path.
            image_id: Unique.
            size: (height, width) in pixels, upright.
            objects: There may be none.
            picture: The picture of numbers with its masks, as `file`.
        """
        self._files.append(file)
        self._image_ids.append(image_id)
        self._sizes.append(size)
        self._objects.add_photo(objects)
        if self.in_pictures:
            self._pictures.append(picture)

    def photos(self) -> LabelledPhotos:
        """Makes the set.

        Raises:
            DatasetError: There is no photo, or no object in any.
        """
        problems, objects = self.problems.in_order(), self._objects.table()
        check_any(self.name, "photo", len(self._files), problems)
        check_any(self.name, "object", len(objects.class_ids), problems)
        first = (BACKGROUND,) if self.kind == "semantic" else ()
        class_names = (*first, *self.class_names)
        category_ids = (*(0 for _ in first), *self.category_ids)
        image_ids, sizes = np.array(self._image_ids, np.int64), np.array(self._sizes, np.int64)
        arrays = (objects.ends, objects.boxes, objects.class_ids, objects.areas, objects.crowds, objects.numbers)
        segments = () if objects.segments is None else (objects.segments.text,)
        digest = digest_of(self.kind, class_names, str(category_ids), self._files, image_ids, sizes)
        digest = digest_of(digest, *arrays, *segments)
        return LabelledPhotos(
            self.name, self.kind, class_names, category_ids, digest, problems,
            self.folder, tuple(self._files), image_ids, sizes, objects, tuple(self._pictures),
        )  # fmt: skip


def _cut_out(
    picture: NDArray[np.int64], boxes: NDArray[np.float64], numbers: NDArray[np.int64], size: tuple[int, int]
) -> tuple[Mask, ...]:
    """The masks of some numbers of a picture, each within its box."""
    if picture.shape != size:
        raise ValueError(f"the picture is {picture.shape}, not {size} (height, width)")
    masks: list[Mask] = []
    for (x_min, y_min, x_max, y_max), number in zip(boxes.astype(np.int64).tolist(), numbers.tolist(), strict=True):
        region = picture[y_min:y_max, x_min:x_max] == number
        masks.append(Mask.from_region(region, (y_min, x_min), size))
    return tuple(masks)


def _painted(
    masks: Sequence[Mask], class_ids: NDArray[np.int64], crowds: NDArray[np.bool_], size: tuple[int, int]
) -> NDArray[np.uint8]:
    class_map = np.zeros(size, np.uint8)
    for is_crowd in (True, False):
        for index in np.flatnonzero(crowds == is_crowd).tolist():
            region, (top, left) = masks[index].to_region()
            part = class_map[top : top + region.shape[0], left : left + region.shape[1]]
            part[region] = IGNORED if is_crowd else class_ids[index] + 1
    return class_map
