"""Parses members of COCO files in the spellings that tools write, for training and evaluation.

JSON has one kind of number, and tools write what their own tables hold: pandas makes `1.0` of ids in a column with
gaps, spreadsheets make `"1"`. pycocotools keeps ids as keys of dictionaries, where 1 and 1.0 are one key, and "1" is
another that matches nothing. Here all three are the number 1.
"""

import math
import re
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any, Final, cast

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}(\.0*)?")
_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_EXACT_FLOAT: Final = 2**53
_MOST_LENGTH: Final = 2**31 - 1
_UNKNOWN_SIZES: Final = frozenset({"", "null", "none", "nan", "undefined"})
_FLAGS: Final = {"true": True, "false": False, "": False}

_SHORT: Final = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 40


def shown(value: object) -> str:
    """Formats a value of a file for a message: one line, shortened."""
    return " ".join(_SHORT.repr(value).split())


def whole_number(value: object) -> int | None:
    """Reads an id: 1, 1.0, "1" and "1.0" are the same.

    Args:
        value: As JSON gives it.

    Returns:
        The number, which fits into 64 bits; None where it is none, true and false among them, or a float that is too
        large to be exact.
    """
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        value = int(value.strip().partition(".")[0])
    if isinstance(value, float):
        value = int(value) if abs(value) <= _EXACT_FLOAT and value.is_integer() else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**63) <= value < 2**63 else None


def finite_number(value: object) -> float | None:
    """Reads a coordinate or an area: 20, 20.5 and "20.5".

    Returns:
        The number; None where it is none, true and false among them, or not finite.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _DECIMAL.fullmatch(value.strip()):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def flag(value: object) -> bool | None:
    """Reads `iscrowd`: 0, 1, 0.0, true, "0", "false", null; of an absent one give None.

    pycocotools asks whether it is true for Python, by which "0" is a crowd: no writer of it means that.

    Returns:
        Whether it is set, as any number but 0 is; None where it says neither.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _FLAGS:
        return _FLAGS[value.strip().lower()]
    number = finite_number(value)
    return None if number is None else number != 0


def side_length(value: object) -> int | None:
    """Reads a height or width in pixels: 640, 640.0, "640", "640.0"; None where it is none, or not known."""
    number = whole_number(value)
    return number if number is not None and 1 <= number <= _MOST_LENGTH else None


def is_unknown_side(value: object) -> bool:
    """Whether a height or width is marked as unknown: null, 0, -1 (VGG Image Annotator), ""."""
    if isinstance(value, str) and value.strip().lower() in _UNKNOWN_SIZES:
        return True
    number = finite_number(value)
    return value is None or (number is not None and number <= 0) or (isinstance(value, float) and math.isnan(value))


def box_numbers(value: object) -> tuple[float, float, float, float] | None:
    """Reads a `bbox`: x, y, width, height in pixels; None where it is not four finite numbers."""
    if not isinstance(value, list) or len(cast(list[object], value)) != 4:
        return None
    numbers = [number for item in cast(list[object], value) if (number := finite_number(item)) is not None]
    return (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None


def segment_of(row: Mapping[str, Any]) -> Any:
    """Gives the `segmentation` of an annotation, not checked.

    Returns:
        A list of polygons, of one where the file has the numbers of one polygon without the outer list (VGG Image
        Annotator); run lengths; None where it is absent or empty, as tools write boxes.
    """
    segment: Any = row.get("segmentation")
    if isinstance(segment, list) and segment and not isinstance(segment[0], list | dict):
        return [cast(list[Any], segment)]
    return cast(Any, segment) or None


def numbers_of(polygon: Sequence[object]) -> list[float] | None:
    """Reads the coordinates of a polygon; None where one is not a finite number."""
    numbers = [number for item in polygon if (number := finite_number(item)) is not None]
    return numbers if len(numbers) == len(polygon) else None
