"""Reads one annotation of a file in COCO's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.datasets.coco_members import box_numbers, finite_number, flag, segment_of, shown, whole_number
from models.datasets.label_problems import Report
from models.datasets.labelled_boxes import Box, box_area, checked_box
from models.datasets.object_table import LabelledObject
from models.datasets.segment_checks import checked_segment, segment_area, segment_box


def has_mask(row: Mapping[str, Any]) -> bool:
    """Whether an annotation can be read for masks: it has a segmentation, or is a crowd, which its box stands for."""
    return segment_of(row) is not None or flag(row.get("iscrowd")) is not False


def read_object(
    row: Mapping[str, Any], classes: Mapping[int, int], size: tuple[int, int], with_mask: bool, report: Report
) -> LabelledObject | None:
    """Reads an annotation.

    Args:
        row: Of `annotations`.
        classes: Class ids by the number of the category.
        size: (height, width) of the photo in pixels.
        with_mask: Whether its mask must be one that can be drawn.
        report: Receives what is wrong.

    Returns:
        The object; None where it cannot be used.
    """
    class_id, crowd = classes.get(_number(row.get("category_id"))), flag(row.get("iscrowd"))
    if class_id is None:
        report("unknown_class", f"there is no category with the id {shown(row.get('category_id'))}")
        return None
    if crowd is None:
        report("bad_number", f"the iscrowd {shown(row.get('iscrowd'))} is neither 0 nor 1")
        return None
    segment, area = segment_of(row), _area(row, report)
    if segment is not None and (with_mask or area is None or not row.get("bbox")):
        segment = checked_segment(segment, size, report)
        if segment is None and with_mask:
            return None
    corners = _corners(row, segment, size, report)
    box = None if corners is None else checked_box(corners, size, report)
    if box is None:
        return None
    if area is None:
        area = box_area(box) if segment is None else segment_area(segment, size)
    if box != corners:
        area = min(area, box_area(box))
    return LabelledObject(box, class_id, area, crowd, segment)


def _number(value: object) -> int:
    """The id of a category; an id that no category has where it is invalid."""
    number = whole_number(value)
    return 2**63 if number is None else number


def _area(row: Mapping[str, Any], report: Report) -> float | None:
    """The area of the file; None where it is absent or invalid."""
    written = row.get("area")
    area = finite_number(written)
    if written is not None and (area is None or area < 0):
        report("bad_number", f"the area {shown(written)} is not a number of pixels; it was computed from the object")
    return area if area is not None and area > 0 else None


def _corners(row: Mapping[str, Any], segment: Any, size: tuple[int, int], report: Report) -> Box | None:
    """The box as its corners; that of the mask where the file has none."""
    if not row.get("bbox") and segment is not None:
        return segment_box(segment, size)
    numbers = box_numbers(row.get("bbox"))
    if numbers is None:
        report("bad_number", f"the bbox {shown(row.get('bbox'))} is not four finite numbers: x, y, width, height")
        return None
    x, y, width, height = numbers
    return x, y, x + width, y + height
