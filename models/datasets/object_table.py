"""The objects of all photos of a data set, in a few arrays.

A hundred thousand photos have nearly a million objects: as Python objects they would fill gigabytes, and take long to
travel to every worker.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.datasets.labelled_boxes import Box


class LabelledObject(NamedTuple):
    """One object of a photo.

    Attributes:
        box: In pixels.
        class_id: Index into the names of the objects' classes; 0 is no background.
        area: In pixels, of the mask where there is one, or else of the box.
        crowd: Whether it is a region of many objects, or of one that is not to be judged.
        segment: Its mask as COCO's files have it, polygons or run lengths; None where it has none, or elsewhere.
        number: That of its pixels, where its mask is in a picture of numbers.
        points: Of each of its K key points x and y in pixels and the visibility, see `ObjectTable.key_points`; empty
            where they are not read.
    """

    box: Box
    class_id: int
    area: float
    crowd: bool = False
    segment: Any = None
    number: int = 0
    points: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Segments:
    """Masks of M objects as text, to be drawn when they are asked for.

    Attributes:
        text: (B,) uint8, JSON of every object's segment, one behind the other.
        ends: (M + 1,) int64, where each begins and ends there.
    """

    text: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def of(self, objects: slice) -> list[Any]:
        """Gives the segments of some objects that follow each other, as `LabelledObject.segment`."""
        ends: list[int] = self.ends[objects.start : objects.stop + 1].tolist()
        return [orjson.loads(self.text[start:end].tobytes()) for start, end in pairwise(ends)]

    def only(self, chosen: NDArray[np.int64]) -> Segments:
        """Some of the masks.

        Args:
            chosen: (K,) indices, ascending.
        """
        lengths = np.diff(self.ends)
        kept = np.repeat(np.isin(np.arange(len(lengths)), chosen), lengths)
        return Segments(self.text[kept], np.concatenate([[0], np.cumsum(lengths[chosen])]))


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """The objects of N photos, M in all, photo by photo.

    Attributes:
        ends: (N + 1,) int64, where the objects of each photo begin and end.
        boxes: (M, 4) float64, x_min, y_min, x_max, y_max in pixels.
        class_ids: (M,) int64.
        areas: (M,) float64 in pixels.
        crowds: (M,) bool.
        numbers: (M,) int64, of their pixels in a picture of numbers; zeros where there is none.
        segments: Their masks; None where they have boxes only, or a picture of numbers.
        key_points: (M, K, 3) float64, x and y in pixels and the visibility: 0 not labelled, 1 labelled but hidden, 2
            labelled and visible. None where they were not read.
    """

    ends: NDArray[np.int64]
    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    numbers: NDArray[np.int64]
    segments: Segments | None
    key_points: NDArray[np.float64] | None = None

    @property
    def most(self) -> int:
        """Objects of the photo that has the most."""
        return int(np.diff(self.ends).max(initial=0))

    def of(self, photo: int) -> slice:
        """Tells which are the objects of a photo."""
        return slice(int(self.ends[photo]), int(self.ends[photo + 1]))

    def with_class_ids(self, class_ids: NDArray[np.int64]) -> ObjectTable:
        """Gives the objects other class ids.

        Args:
            class_ids: (M,); objects of a negative one are left out.
        """
        kept = np.flatnonzero(class_ids >= 0)
        return ObjectTable(
            np.searchsorted(kept, self.ends),
            self.boxes[kept],
            class_ids[kept],
            self.areas[kept],
            self.crowds[kept],
            self.numbers[kept],
            None if self.segments is None else self.segments.only(kept),
            None if self.key_points is None else self.key_points[kept],
        )


class ObjectRows:
    """Collects objects photo by photo.

    Args:
        with_segments: Whether their segments are kept; then every object must have one.
        key_points: Key points of every object that are kept; 0 where none are.
    """

    def __init__(self, with_segments: bool, key_points: int = 0) -> None:
        self._with_segments = with_segments
        self._key_points, self._points = key_points, array("d")
        self._ends, self._segment_ends = array("q", [0]), array("q", [0])
        self._boxes, self._areas = array("d"), array("d")
        self._class_ids, self._numbers, self._crowds = array("q"), array("q"), array("b")
        self._text = bytearray()

    def add_photo(self, objects: Sequence[LabelledObject]) -> None:
        """Adds the objects of the next photo; there may be none."""
        for item in objects:
            self._boxes.extend(item.box)
            self._class_ids.append(item.class_id)
            self._areas.append(item.area)
            self._crowds.append(item.crowd)
            self._numbers.append(item.number)
            if self._key_points:
                self._points.extend(item.points)
            if self._with_segments:
                self._text += orjson.dumps(item.segment)
                self._segment_ends.append(len(self._text))
        self._ends.append(len(self._areas))

    def table(self) -> ObjectTable:
        """Gives all that were added."""
        segments = None
        if self._with_segments:
            text = np.frombuffer(bytes(self._text), np.uint8)
            segments = Segments(text, np.array(self._segment_ends, np.int64))
        return ObjectTable(
            np.array(self._ends, np.int64),
            np.array(self._boxes, np.float64).reshape(-1, 4),
            np.array(self._class_ids, np.int64),
            np.array(self._areas, np.float64),
            np.array(self._crowds, np.bool_),
            np.array(self._numbers, np.int64),
            segments,
            np.array(self._points, np.float64).reshape(-1, self._key_points, 3) if self._key_points else None,
        )
