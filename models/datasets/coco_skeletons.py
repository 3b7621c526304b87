"""Reads key points of files in COCO's format: the skeleton of a category, and the points of an annotation.

https://cocodataset.org/#format-data, section 2: a category has `keypoints` (names) and `skeleton` (pairs that count
from 1), an annotation `keypoints`, x, y and v for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from models.datasets.coco_members import numbers_of, shown, whole_number
from models.datasets.label_problems import Report
from models.datasets.samples import DatasetError
from models.entries.skeletons import Skeleton

NUMBERS: Final = 3
"""Numbers of a key point: x, y, visibility."""
_VISIBILITIES: Final = (0.0, 1.0, 2.0)


def read_skeleton(path: Path, categories: Sequence[Any]) -> tuple[Skeleton, frozenset[int]]:
    """Finds the skeleton of a file.

    Args:
        path: Of the file, for messages.
        categories: Its `categories`.

    Returns:
        The skeleton, and the numbers of the categories that have it; those without key points are left out.

    Raises:
        DatasetError: No category has key points, or two have different ones.
    """
    found: dict[int, Skeleton] = {}
    for row in (cast(dict[str, Any], item) for item in categories if isinstance(item, dict)):
        names: Any = row.get("keypoints")
        number = whole_number(row.get("id")) if names else None
        if number is not None:
            found[number] = _skeleton(path, names, row.get("skeleton") or ())
    if not found:
        raise DatasetError(f"{path}: no category has `keypoints`, the names of its key points; nothing to measure")
    first = next(iter(found.values()))
    other = next((number for number, skeleton in found.items() if skeleton.names != first.names), None)
    if other is not None:
        raise DatasetError(f"{path}: category {other} has other key points than the first; one skeleton is read a file")
    return first, frozenset(found)


def read_points(row: Mapping[str, Any], count: int, report: Report) -> tuple[float, ...] | None:
    """Reads the key points of an annotation.

    Args:
        row: Of `annotations`.
        count: Key points of the skeleton.
        report: Receives what is wrong.

    Returns:
        3 K numbers, x and y in pixels and the visibility of each; zeros where the annotation has none. None where it
        cannot be used.
    """
    written: Any = row.get("keypoints")
    if not written:
        return (0.0,) * (NUMBERS * count)
    numbers = numbers_of(cast(list[object], written)) if isinstance(written, list) else None
    if numbers is None or len(numbers) != NUMBERS * count:
        report("bad_number", f"the keypoints {shown(cast(object, written))} are not {count} times x, y and v")
        return None
    wrong = next((value for value in numbers[2::NUMBERS] if value not in _VISIBILITIES), None)
    if wrong is not None:
        report("bad_number", f"the visibility {wrong:g} of a key point is neither 0, 1 nor 2")
        return None
    return tuple(numbers)


def _skeleton(path: Path, names: Any, edges: Any) -> Skeleton:
    try:
        pairs = [(int(start) - 1, int(end) - 1) for start, end in edges]
        return Skeleton.of([str(name) for name in names], pairs)
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{path}: the key points of a category cannot be used: {error}") from None
