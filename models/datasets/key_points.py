"""Key points in YOLO rows: their number from `kpt_shape`, and the detection of rows that have them without it.

A row of a pose data set is a class, a box and K key points of 2 or 3 numbers; `kpt_shape: [K, 2]` or `[K, 3]` in
`data.yaml` tells it from a polygon (https://docs.ultralytics.com/datasets/pose/).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from models.datasets.samples import DatasetError
from models.entries.skeletons import PERSON, Skeleton, numbered_names

BOX_NUMBERS: Final = 4
BODY_SHARE: Final = 0.53
"""Area of a person as a share of its box, where only the box is known: OKS needs one. Ultralytics' constant, from
https://github.com/jin-s13/xtcocoapi."""

_WITH_VISIBILITY: Final = 3
_VISIBILITIES: Final = frozenset({0.0, 1.0, 2.0})
_TRACK_NUMBERS: Final = BOX_NUMBERS + 2
_MARGIN: Final = 0.1  # of the size of the image, by which the boxes of people and tools reach beyond it
_SLACK: Final = 0.25  # of the box's size, by which people set points beyond it
_MOST: Final = 0.9


class KeyPoints(NamedTuple):
    """The key points of a row.

    Attributes:
        points: Key points per object; 0 where `kpt_shape` is empty.
        numbers: Numbers per key point: 2, or 3 with visibility.
    """

    points: int
    numbers: int

    @property
    def row_numbers(self) -> int:
        """Numbers of a row after its class."""
        return BOX_NUMBERS + self.points * self.numbers

    def placed(self, shares: Sequence[float], size: tuple[int, int]) -> tuple[float, ...]:
        """The key points of a row in pixels.

        Args:
            shares: Of its numbers those behind the box; none where the row has none.
            size: (height, width) of the photo in pixels.

        Returns:
            3 K numbers: x, y and the visibility of each. A point at (0, 0) or below it is not labelled, as tools write
            it; one without a visibility is visible.
        """
        height, width = size
        found: list[float] = []
        for start in range(0, len(shares), self.numbers):
            x, y, *visibility = shares[start : start + self.numbers]
            seen = visibility[0] if visibility else 2.0
            labelled = seen > 0 and x >= 0 and y >= 0 and (x, y) != (0, 0)
            found += (x * width, y * height, seen) if labelled else (0.0, 0.0, 0.0)
        return tuple(found) or (0.0,) * (3 * self.points)


def yolo_skeleton(file: Path, points: KeyPoints, names: Any, mirrored: Any) -> Skeleton:
    """The skeleton of a data set.

    Args:
        file: Of the settings, for the message.
        points: Its key points.
        names: `kpt_names`, a list, or one for each class; None where the settings have none: then 17 points are COCO's.
        mirrored: `flip_idx`; None where the settings have none.

    Raises:
        DatasetError: They do not fit each other.
    """
    if isinstance(names, dict):
        names = next(iter(cast(dict[Any, Any], names).values()), None)
    if not names:
        coco = points.points == len(PERSON) and mirrored in (None, list(PERSON.mirrored))
        names = PERSON.names if coco else numbered_names(points.points)
    try:
        skeleton = Skeleton.of([str(name) for name in names], (), None if mirrored is None else list(mirrored))
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{file}: the key points cannot be used: {error}") from None
    if len(skeleton) != points.points:
        raise DatasetError(f"{file}: `kpt_shape` has {points.points} key points, and there are {len(skeleton)} names")
    return skeleton


def order_in(names: Sequence[str], skeleton: Skeleton) -> list[int]:
    """Which key points of a model are those of a data set: by name, or by place where the data set has no names.

    Args:
        names: Of the model's key points.
        skeleton: Of the data set.

    Returns:
        K indices into the model's key points, in the order of the data set.

    Raises:
        DatasetError: The model lacks one.
    """
    if all(name in names for name in skeleton.names):
        return [list(names).index(name) for name in skeleton.names]
    if len(names) == len(skeleton) and not skeleton.is_named:
        return list(range(len(names)))
    missing = next(name for name in skeleton.names if name not in names)
    raise DatasetError(f"the model has no key point {missing!r}; it has {', '.join(names)}")


def key_points_of(file: Path, value: Any) -> KeyPoints | None:
    """Reads `kpt_shape`.

    Args:
        file: Of the settings, for the message.
        value: A list of two whole numbers, or a text such as `(17, 3)`; an empty one says that there are none.

    Returns:
        The key points; None where the settings do not mention any.

    Raises:
        DatasetError: It is neither.
    """
    if value is None:
        return None
    found = [float(text) for text in re.findall(r"-?\d+(?:\.\d+)?", str(value))]
    if value in ("", [], "()"):
        return KeyPoints(0, 2)
    if len(found) != 2 or found[0] % 1 or found[0] < 0 or found[1] not in (2, 3):
        raise DatasetError(
            f"{file}: `kpt_shape: {value}` must be [number of key points, 2 or 3]; [] where there are none"
        )
    return KeyPoints(int(found[0]), int(found[1]))


class PoseSuspicion:
    """Detects key points in a data set without `kpt_shape`.

    A polygon of N points and a box with N - 2 key points have the same numbers. Polygons of a data set differ in their
    number of points, and do not look like a box with points in it; poses all do.
    """

    def __init__(self) -> None:
        self._lengths: set[int] = set()
        self._rows = self._like_poses = self._unlike_polygons = 0
        self._first: tuple[Path, int] | None = None

    def see(self, shares: Sequence[float], file: Path, line: int) -> None:
        """Adds the numbers of a row after its class, which may be a polygon."""
        self._first = self._first or (file, line)
        self._lengths.add(len(shares))
        self._rows += 1
        if len(self._lengths) == 1 and _is_like_pose(shares):
            self._like_poses += 1
            self._unlike_polygons += _has_visibilities(shares) or _jumps(shares) or _has_track(shares)

    def check(self) -> None:
        """Raises if the rows can be boxes with key points.

        Raises:
            DatasetError: They can; the message says how to tell.
        """
        likely = self._like_poses >= _MOST * self._rows and self._unlike_polygons
        if self._first is None or len(self._lengths) != 1 or not likely:
            return
        (file, line), (length,) = self._first, self._lengths
        other = ", or a prediction with its score and track" if length == _TRACK_NUMBERS else ""
        raise DatasetError(
            f"{file}:{line}: {length + 1} numbers can be a polygon of {length // 2} points, or a box with key points"
            f"{other}, and every such row of the data set fits; say which in data.yaml: `kpt_shape: [K, 2]` or `[K, 3]`"
            " for K key points, `kpt_shape: []` for polygons"
        )


def _is_like_pose(shares: Sequence[float]) -> bool:
    """Whether the first four numbers are a box in the image, with the points of the others in it."""
    x, y, w, h = shares[:BOX_NUMBERS]
    if (
        w <= 0
        or h <= 0
        or x - w / 2 < -_MARGIN
        or y - h / 2 < -_MARGIN
        or x + w / 2 > 1 + _MARGIN
        or y + h / 2 > 1 + _MARGIN
    ):
        return False
    if _has_track(shares):
        return True
    step = _WITH_VISIBILITY if _has_visibilities(shares) else 2
    points = list(zip(shares[BOX_NUMBERS::step], shares[BOX_NUMBERS + 1 :: step], strict=False))
    set_points = [point for point in points if any(point)]  # tools write zeros for those that are not labelled
    reach_x, reach_y = (0.5 + _SLACK) * w, (0.5 + _SLACK) * h
    return bool(set_points) and all(abs(px - x) <= reach_x and abs(py - y) <= reach_y for px, py in set_points)


def _has_visibilities(shares: Sequence[float]) -> bool:
    rest = shares[BOX_NUMBERS:]
    return len(rest) % _WITH_VISIBILITY == 0 and _VISIBILITIES.issuperset(rest[2::_WITH_VISIBILITY])


def _has_track(shares: Sequence[float]) -> bool:
    """Whether a score and a whole number follow the box, as in predictions of a tracker that were saved as text."""
    return len(shares) == _TRACK_NUMBERS and shares[-1] >= 1 and shares[-1].is_integer()


def _jumps(shares: Sequence[float]) -> bool:
    """Whether the second point, which would be width and height of a box, lies far from all others."""
    points = [*shares[:2], *shares[BOX_NUMBERS:]]
    across, down = points[0::2], points[1::2]
    reach = max(max(across) - min(across), max(down) - min(down))
    return not (
        min(across) - reach <= shares[2] <= max(across) + reach and min(down) - reach <= shares[3] <= max(down) + reach
    )
