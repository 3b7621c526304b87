"""Validates polygons and run lengths of COCO files against the size of their image.

What passes can be drawn. That matters, because pycocotools draws in C: it takes four numbers for a box, NaN for an
integer, and a corner that is far away for a reason to fill the memory.
"""

from __future__ import annotations

from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from models.datasets.coco_members import numbers_of
from models.datasets.label_problems import Report
from models.datasets.labelled_boxes import TOLERANCE_PIXELS
from models.datasets.object_masks import polygon_area, segment_area, segment_box
from models.geometry.masks import Mask

__all__ = ["checked_segment", "segment_area", "segment_box"]

_LEAST_NUMBERS: Final = 6


def checked_segment(segment: Any, size: tuple[int, int], report: Report) -> Any:
    """Holds a mask against its image.

    Args:
        segment: A list of polygons (x1, y1, x2, y2, … in pixels), or run lengths, compressed or not.
        size: (height, width) of the image in pixels.
        report: Told what is wrong.

    Returns:
        The segment; without polygons that are none, and with those cut to the image that reach beyond it by more than
        `TOLERANCE_PIXELS`. None where nothing is left.
    """
    if isinstance(segment, dict):
        return _checked_runs(cast(dict[str, Any], segment), size, report)
    if not isinstance(segment, list):
        report("unreadable", "its segmentation is neither polygons nor run lengths")
        return None
    polygons = [_checked_polygon(polygon, size, report) for polygon in cast(list[Any], segment)]
    return [polygon for polygon in polygons if polygon is not None] or None


def _checked_polygon(polygon: Any, size: tuple[int, int], report: Report) -> list[float] | None:
    numbers = _numbers(polygon)
    if numbers is None:
        report("bad_number", "a polygon is not a list of finite numbers, two for every point")
        return None
    if len(numbers) < _LEAST_NUMBERS:
        report("zero_area", f"a polygon has {len(numbers) // 2} points; three make an area")
        return None
    ends = np.tile(np.array(size[::-1], np.float64), len(numbers) // 2)
    if numbers.min() < -TOLERANCE_PIXELS or (numbers - ends).max() > TOLERANCE_PIXELS:
        report("outside_image", f"a polygon reaches beyond the image, {size[0]} x {size[1]} (height x width)")
        inside = numbers.clip(0, ends)
        return inside.tolist() if polygon_area(inside.tolist()) > 0 else None
    return numbers.tolist() if isinstance(polygon[0], str) else cast(list[float], polygon)


def _numbers(polygon: Any) -> NDArray[np.float64] | None:
    try:
        found = np.asarray(polygon)
        if found.dtype.kind == "U":  # numbers as text, which pycocotools takes, too
            found = np.asarray(numbers_of(polygon) or [])
    except ValueError:  # a list of lists of different lengths
        return None
    is_flat = found.ndim == 1 and len(found) > 0 and len(found) % 2 == 0
    if found.dtype.kind not in "iuf" or not is_flat or not np.isfinite(found).all():
        return None
    return found.astype(np.float64)


def _checked_runs(runs: dict[str, Any], size: tuple[int, int], report: Report) -> dict[str, Any] | None:
    try:
        mask = Mask.from_stranger(runs, size)
    except (TypeError, ValueError) as error:
        report("unreadable", f"its run lengths are none of an image of {size[0]} x {size[1]} (height x width): {error}")
        return None
    if not mask.area:
        report("zero_area", "its run lengths cover no pixel")
        return None
    return mask.to_coco()
