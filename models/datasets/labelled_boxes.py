"""Validates boxes of labels against the size of their image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeGuard

from models.datasets.label_problems import Report

TOLERANCE_PIXELS: Final = 1.0
"""Labels may reach beyond their image by so much: people round, and so do tools. They are taken as they are."""

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the upright image; it ends at the last two, which are no pixels of it."""


def is_number(value: Any) -> TypeGuard[float]:
    """Tells a finite number from all else; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def checked_box(box: Sequence[Any], size: tuple[int, int], report: Report) -> Box | None:
    """Holds a box against its image.

    Args:
        box: x_min, y_min, x_max, y_max in pixels, whatever a file has in their places.
        size: (height, width) of the image in pixels.
        report: Told what is wrong.

    Returns:
        The box; cut to the image where it reaches beyond it by more than `TOLERANCE_PIXELS`; None where nothing of it
        is left, it has no area, or it is no box at all.
    """
    if len(box) != 4 or not all(map(is_number, box)):
        report("bad_number", f"the box {_shown(box)} is not four finite numbers")
        return None
    x_min, y_min, x_max, y_max = map(float, box)
    height, width = size
    if x_max <= x_min or y_max <= y_min:
        report("zero_area", f"the box {_shown(box)} has no area")
        return None
    if x_min >= width or y_min >= height or x_max <= 0 or y_max <= 0:
        report("outside_image", f"the box {_shown(box)} lies outside the image, {_size(size)}")
        return None
    if max(-x_min, -y_min, x_max - width, y_max - height) > TOLERANCE_PIXELS:
        report("outside_image", f"the box {_shown(box)} reaches beyond the image, {_size(size)}; it was cut")
        return max(x_min, 0.0), max(y_min, 0.0), min(x_max, float(width)), min(y_max, float(height))
    return x_min, y_min, x_max, y_max


def box_area(box: Box) -> float:
    """Area in pixels."""
    x_min, y_min, x_max, y_max = box
    return (x_max - x_min) * (y_max - y_min)


def _shown(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value)[:20] for value in values[:4])


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} (height x width)"
