"""Photos with their ground truth: the data set that every reader of objects returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.datasets.label_problems import ProblemList
from models.datasets.object_masks import CocoMasks, NumberedPicture, ObjectMasks, rectangle
from models.datasets.object_table import LabelledObject, ObjectRows, ObjectTable
from models.datasets.photo_dataset import Photo
from models.datasets.photo_files import check_any, digest_of, read_photo
from models.datasets.photo_set import PhotoSet
from models.datasets.read_options import WITH_MASKS, ReadOptions
from models.datasets.samples import (
    BACKGROUND,
    IGNORED,
    DatasetError,
    Kind,
    ObjectTarget,
    RegionTarget,
    Sample,
    Target,
)
from models.entries.skeletons import Skeleton
from models.geometry.masks import Mask


@dataclass(eq=False)
class LabelledPhotos(PhotoSet):
    """Photos with objects, read for boxes, key points, instance or semantic masks: an `EvaluationSet`.

    Masks are drawn when a photo is loaded, so that the set weighs no more than its labels. For a semantic model crowds
    are `IGNORED`, and where objects overlap the later one of the file is on top.

    Attributes:
        kind: See `EvaluationSet`.
        sizes: (N, 2) int64, (height, width) of the upright photos in pixels.
        objects: Of all photos.
        pictures: Paths of the pictures of numbers that hold the masks; empty where segments do, or nothing does.
        masked: (N,) bool, whether the masks of all objects of a photo are known.
        names_classes: Whether the data set lists its classes: where only its objects name them, a split may lack some.
        skeleton: Of the key points of the objects; None where they were not read.
    """

    kind: Kind
    sizes: NDArray[np.int64]
    objects: ObjectTable
    pictures: tuple[str, ...]
    masked: NDArray[np.bool_]
    names_classes: bool
    skeleton: Skeleton | None = None

    def load(self, index: int) -> Sample:
        """See `EvaluationSet.load`."""
        file = self.files[index]
        height, width = self.sizes[index].tolist()
        image = read_photo(self.folder / file, (height, width))
        return Sample(int(self.image_ids[index]), file, image, self._target(index, (height, width)))

    @property
    def object_classes(self) -> tuple[str, ...]:
        """Names of the classes of objects, without the background."""
        return self.class_names[self.kind == "semantic" :]

    def with_classes(self, class_names: Sequence[str]) -> LabelledPhotos:
        """Keeps the objects of some classes.

        Args:
            class_names: Of objects, in the order of the new ids; those that the data set lacks have no objects.
        """
        theirs, first = self.object_classes, self.class_names[: len(self.class_names) - len(self.object_classes)]
        ids = np.array([class_names.index(name) if name in class_names else -1 for name in theirs], np.int64)
        numbers = dict(zip(theirs, self.category_ids[len(first) :], strict=True))
        return replace(
            self,
            class_names=(*first, *class_names),
            category_ids=(*(0 for _ in first), *(numbers.get(name, 0) for name in class_names)),
            objects=self.objects.with_class_ids(ids[self.objects.class_ids]),
        )

    def photo(self, index: int) -> Photo:
        """Returns an image and its ground truth, for training; neither the image nor a mask is read."""
        table, own = self.objects, self.objects.of(index)
        height, width = self.sizes[index].tolist()
        crowds = table.crowds[own]
        boxes = table.boxes[own].astype(np.float32).clip(0, np.array([width, height, width, height], np.float32))
        return Photo(
            path=self.folder / self.files[index],
            image_id=int(self.image_ids[index]),
            size=(height, width),
            boxes=boxes[~crowds],
            class_ids=table.class_ids[own][~crowds],
            crowds=boxes[crowds],
            masks=self._object_masks(index, ~crowds) if self.kind in WITH_MASKS and self.masked[index] else None,
            key_points=None if table.key_points is None else table.key_points[own][~crowds],
        )

    def _target(self, index: int, size: tuple[int, int]) -> Target:
        own, table = self.objects.of(index), self.objects
        masks = self._masks(index) if self.kind in WITH_MASKS else None
        points = None if table.key_points is None else table.key_points[own]
        if self.kind == "semantic" and masks is not None:
            return RegionTarget(_painted(masks, table.class_ids[own], table.crowds[own], size))
        arrays = (table.boxes[own], table.class_ids[own], table.areas[own], table.crowds[own])
        return ObjectTarget(*arrays, masks, points, self.skeleton)

    def _object_masks(self, index: int, chosen: NDArray[np.bool_]) -> ObjectMasks:
        """The masks of some objects of a photo; those of the others are ignored pixels."""
        own, table = self.objects.of(index), self.objects
        height, width = self.sizes[index].tolist()
        if self.pictures:
            numbers, path = table.numbers[own], self.folder / self.pictures[index]
            known, others = (tuple(numbers[which].tolist()) for which in (chosen, ~chosen))
            return NumberedPicture(path, (height, width), known, table.boxes[own][chosen], others)
        assert table.segments is not None
        around = zip(table.segments.of(own), table.boxes[own].tolist(), strict=True)
        segments = [segment or rectangle(box) for segment, box in around]
        known, others = ([segments[place] for place in np.flatnonzero(which)] for which in (chosen, ~chosen))
        return CocoMasks((height, width), known, others)

    def _masks(self, index: int) -> tuple[Mask, ...]:
        try:
            return tuple(self._object_masks(index, np.ones_like(self.objects.crowds[self.objects.of(index)])).objects())
        except (OSError, ValueError) as error:
            raise DatasetError(f"{self.folder / self.files[index]}: its masks cannot be read: {error}") from None


@dataclass
class PhotoRows:
    """Collects photos with their objects, and makes a set of them.

    Attributes:
        name: Of the set.
        options: How it is read.
        folder: What the names of files are below.
        class_names: Of the objects, in the order of their ids; no background among them.
        category_ids: The data set's own numbers of these.
        problems: Those found so far.
        in_pictures: Whether masks are in pictures of numbers.
        names_classes: See `LabelledPhotos`.
        skeleton: Of the key points, where these are read.
    """

    name: str
    options: ReadOptions
    folder: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    problems: ProblemList
    in_pictures: bool = False
    names_classes: bool = True
    skeleton: Skeleton | None = None
    _files: list[str] = field(default_factory=list[str])
    _pictures: list[str] = field(default_factory=list[str])
    _image_ids: list[int] = field(default_factory=list[int])
    _sizes: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    _masked: list[bool] = field(default_factory=list[bool])

    def __post_init__(self) -> None:
        key_points = 0 if self.skeleton is None else len(self.skeleton)
        self._objects = ObjectRows(self.options.kind in WITH_MASKS and not self.in_pictures, key_points)
        if self.options.kind == "semantic" and len(self.class_names) >= IGNORED:
            raise DatasetError(f"{self.name}: {len(self.class_names)} classes; a class map holds {IGNORED - 1} at most")

    def __len__(self) -> int:
        return len(self._files)

    def add(
        self,
        file: str,
        image_id: int,
        size: tuple[int, int],
        objects: Sequence[LabelledObject],
        picture: str = "",
        masked: bool = True,
    ) -> None:
        """Adds a photo.

        Args:
            file: Its name below the folder, or its absolute path.
            image_id: Unique.
            size: (height, width) in pixels, upright.
            objects: There may be none.
            picture: The picture of numbers with its masks, as `file`.
            masked: Whether all objects have masks; the segments of these are not kept where some have none.
        """
        self._files.append(file)
        self._image_ids.append(image_id)
        self._sizes.append(size)
        self._objects.add_photo(objects if masked else [item._replace(segment=None) for item in objects])
        self._masked.append(masked)
        if self.in_pictures:
            self._pictures.append(picture)

    def photos(self) -> LabelledPhotos:
        """Makes the set.

        Raises:
            DatasetError: There is no photo, or no object in any.
        """
        problems, objects = self.problems.in_order(), self._objects.table()
        check_any(self.name, "photo", len(self._files), problems)
        if not self.options.for_training:
            check_any(self.name, "object", len(objects.class_ids), problems)
        kind = self.options.kind
        first = (BACKGROUND,) if kind == "semantic" else ()
        class_names = (*first, *self.class_names)
        category_ids = (*(0 for _ in first), *self.category_ids)
        image_ids, sizes = np.array(self._image_ids, np.int64), np.array(self._sizes, np.int64)
        arrays = (objects.ends, objects.boxes, objects.class_ids, objects.areas, objects.crowds, objects.numbers)
        segments = () if objects.segments is None else (objects.segments.text,)
        points = () if objects.key_points is None else (objects.key_points,)
        digest = digest_of(kind, class_names, str(category_ids), self._files, image_ids, sizes)
        digest = digest_of(digest, *arrays, *segments, *points)
        return LabelledPhotos(
            self.name, class_names, category_ids, digest, problems,
            self.folder, tuple(self._files), image_ids, kind, sizes, objects, tuple(self._pictures),
            np.array(self._masked, np.bool_), self.names_classes, self.skeleton,
        )  # fmt: skip


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
