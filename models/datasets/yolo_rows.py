"""Reads the rows of YOLO's text files: `class x y width height`, a polygon, four corners, or a box with key points.

All numbers but the class are fractions of the image's width and height. See `docs/datasets.md` for the variants of
tools.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from models.datasets.key_points import BODY_SHARE, BOX_NUMBERS, KeyPoints, PoseSuspicion
from models.datasets.label_problems import ProblemList, Report
from models.datasets.labelled_boxes import Box, box_area, checked_box
from models.datasets.object_table import LabelledObject
from models.datasets.read_options import WITH_MASKS, ReadOptions
from models.datasets.segment_checks import checked_segment, segment_area, segment_box
from models.sources.text_documents import DocumentError, read_text

_MOST_BYTES: Final = 64 * 2**20  # of the labels of one photo
_LEAST_POLYGON: Final = 6
_LEAST_KEY_POINTS: Final = 7  # of a row with a key point of two numbers
_LOWEST, _HIGHEST = -1.0, 2.0
"""A share beyond these is no rounding and no object that the edge cuts: the numbers are pixels."""

_DECIMALS: Final = 3  # of a pixel: finer than masks are drawn, and half as long as all digits


@dataclass
class YoloRows:
    """Reads label files of one data set.

    Attributes:
        classes: Class id by the number that rows begin with.
        options: For `detection`, `keypoints`, `instance` or `semantic`.
        key_points: Of a pose data set; None where its settings do not mention them.
        problems: Receives what is wrong.
        suspicion: Detects rows that may have key points.
    """

    classes: Mapping[int, int]
    options: ReadOptions
    key_points: KeyPoints | None
    problems: ProblemList
    suspicion: PoseSuspicion = field(default_factory=PoseSuspicion)

    def objects(self, path: Path, size: tuple[int, int]) -> list[LabelledObject] | None:
        """Reads a file.

        Args:
            path: Of the labels.
            size: (height, width) of the photo in pixels.

        Returns:
            The objects of a photo, each with a segment where all have one; None where it cannot be used.
        """
        try:
            lines = read_text(path, _MOST_BYTES).splitlines()
        except DocumentError as error:
            self.problems.add("unreadable", path, None, error.reason)
            return None
        objects: list[LabelledObject] = []
        seen: dict[tuple[float, ...], int] = {}
        for line, words in enumerate(map(str.split, lines), 1):
            report = self.problems.at(path, line)
            numbers = _numbers(words, report) if words else None
            if numbers is None:
                continue
            if self.for_masks and not self.options.for_training and self._is_box(numbers):
                report("no_mask", "the object has a box and no polygon; its photo was left out")
                return None
            if seen.setdefault(numbers, line) != line:
                report("duplicate", f"the same as line {seen[numbers]}")
                continue
            if self.key_points is None and len(numbers) > _LEAST_POLYGON and len(numbers) % 2:
                self.suspicion.see(numbers[1:], path, line)
            found = self._object(numbers, size, report)
            if found is not None:
                objects.append(found if self.for_masks else found._replace(segment=None))
        return objects

    @property
    def for_masks(self) -> bool:
        """Whether masks are wanted."""
        return self.options.kind in WITH_MASKS

    @property
    def _is_pose(self) -> bool:
        return self.key_points is not None and self.key_points.points > 0

    def _is_box(self, numbers: Sequence[float]) -> bool:
        with_points = BOX_NUMBERS if self.key_points is None else self.key_points.row_numbers
        return len(numbers) - 1 in (BOX_NUMBERS, with_points)

    def _object(self, numbers: Sequence[float], size: tuple[int, int], report: Report) -> LabelledObject | None:
        number, *shares = numbers
        if number not in self.classes:
            report("unknown_class", f"there is no class {number:g}; classes are {_range(self.classes)}")
            return None
        class_id = self.classes[int(number)]
        points = shares[BOX_NUMBERS:]
        if self._is_box(numbers):
            shares = shares[:BOX_NUMBERS]
        elif self._is_pose or len(shares) < _LEAST_POLYGON or len(shares) % 2:
            report("unreadable", self._expected(len(numbers)))
            return None
        far = next((share for share in (*shares, *self._places(points)) if not _LOWEST <= share <= _HIGHEST), None)
        if far is not None:
            report("bad_number", f"{far:g} is no share of the image's size, 0 to 1; are these pixels?")
            return None
        if len(shares) == BOX_NUMBERS:
            found = _box_object(shares, class_id, size, report)
            return self._posed(found, points, size) if self.options.kind == "keypoints" else found
        return _polygon_object(shares, class_id, size, report)

    def _places(self, points: Sequence[float]) -> Sequence[float]:
        """The numbers of key points without their visibilities; none where they are not wanted."""
        if self.key_points is None or self.options.kind != "keypoints":
            return ()
        return [share for place, share in enumerate(points) if place % self.key_points.numbers < 2]

    def _posed(
        self, item: LabelledObject | None, shares: Sequence[float], size: tuple[int, int]
    ) -> LabelledObject | None:
        assert self.key_points is not None
        if item is None:
            return None
        return item._replace(points=self.key_points.placed(shares, size), area=item.area * BODY_SHARE)

    def _expected(self, count: int) -> str:
        if self.key_points is not None and self._is_pose:
            points, row = self.key_points, self.key_points.row_numbers + 1
            return f"{count} numbers are neither a box (5) nor a box with {points.points} key points (kpt_shape; {row})"
        if count == BOX_NUMBERS + 2:
            return f"{count} numbers are a prediction, with its score as the last of them, and no label"
        text = f"{count} numbers are neither a box (5) nor a polygon (an odd number, 7 or more)"
        return (
            f"{text}; `kpt_shape` in data.yaml says how many key points follow a box"
            if count > _LEAST_KEY_POINTS
            else text
        )


def _numbers(words: Sequence[str], report: Report) -> tuple[float, ...] | None:
    try:
        numbers = tuple(map(float, words))
    except ValueError:
        numbers = ()
    if not numbers or not all(map(math.isfinite, numbers)):
        report("bad_number", f"{' '.join(words)[:60]!r} are not all finite numbers with spaces between")
        return None
    return numbers


def _box_object(shares: Sequence[float], class_id: int, size: tuple[int, int], report: Report) -> LabelledObject | None:
    (x, y, w, h), (height, width) = shares, size
    corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    box = checked_box(corners, size, report)
    return None if box is None else LabelledObject(box, class_id, box_area(box))


def _polygon_object(
    shares: Sequence[float], class_id: int, size: tuple[int, int], report: Report
) -> LabelledObject | None:
    height, width = size
    sides = (width, height) * len(shares)
    polygon = [round(share * side, _DECIMALS) for share, side in zip(shares, sides, strict=False)]
    segment = checked_segment([polygon], size, report)
    box = None if segment is None else _box_around(segment, size, report)
    return None if box is None else LabelledObject(box, class_id, segment_area(segment, size), segment=segment)


def _box_around(segment: Any, size: tuple[int, int], report: Report) -> Box | None:
    return checked_box(segment_box(segment, size), size, report)


def _range(classes: Mapping[int, int]) -> str:
    low, high = min(classes), max(classes)
    return f"{low} to {high}" if len(classes) == high - low + 1 else ", ".join(map(str, sorted(classes)[:20]))
