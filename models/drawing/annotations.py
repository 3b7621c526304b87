"""What is drawn: the classes or objects of an answer of the HTTP API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from models.drawing.color_assignment import keys_apart
from models.drawing.palette import Color, color_of
from models.geometry.masks import Mask

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the upright original."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One part of an answer: a class of the whole picture, an object in it, or all pixels of a class.

    Attributes:
        class_id: Marks of equal ids have equal colours in every picture.
        class_name: Text in any script.
        score: Probability or score, 0 to 1; for all pixels of a class, their share of the picture. NaN for an object
            that nobody predicted, such as one that is known to be there: no number is written at it.
        box: Of an object; None where the whole picture is meant.
        color_key: Decides the colour instead of `class_id`.
        mask: Which pixels of the upright original it has; None where nobody has asked that.
    """

    class_id: int
    class_name: str
    score: float
    box: Box | None = None
    color_key: int | None = None
    mask: Mask | None = None

    @property
    def color(self) -> Color:
        """What it is drawn in."""
        return color_of(self.class_id if self.color_key is None else self.color_key)


def marks_of_answer(answer: Mapping[str, Any], class_count: int | None = None) -> list[Mark]:
    """Makes the marks of an answer of the HTTP API, best first.

    Args:
        answer: The JSON object of one image: with `image` and `predictions`, each of which has `class_id`,
            `class_name`, and `probability`, or `fraction` and `mask`, or `score`, `box` and perhaps `mask`. Masks
            are run lengths.
        class_count: How many classes the model knows; None where that is not known: more than one is taken for
            granted.

    Returns:
        One mark for each class or object. A class has one colour in every picture, except that every object of a
        picture has its own where objects have masks, or where the model knows a single class.

    Raises:
        ValueError: Masks are not run lengths.
    """
    rows: list[Mapping[str, Any]] = answer["predictions"]
    boxes = [_box_of(row["box"]) if "box" in row else None for row in rows]
    found = [box for box in boxes if box is not None]
    keys = iter(_color_keys(found, own=class_count == 1 or any("mask" in row for row in rows)))
    return [
        Mark(
            row["class_id"],
            row["class_name"],
            row["score" if box else "fraction" if "fraction" in row else "probability"],
            box,
            next(keys) if box else None,
            _mask_of(row),
        )
        for row, box in zip(rows, boxes, strict=True)
    ]


def _color_keys(boxes: Sequence[Box], *, own: bool) -> Sequence[int | None]:
    return keys_apart(boxes) if own else [None] * len(boxes)


def _box_of(corners: Mapping[str, float]) -> Box:
    return corners["x_min"], corners["y_min"], corners["x_max"], corners["y_max"]


def _mask_of(row: Mapping[str, Any]) -> Mask | None:
    """The mask of a row, which has one where it has a number of pixels."""
    if "area_pixels" not in row:
        return None
    mask: Any = row.get("mask")
    if not isinstance(mask, dict):
        raise ValueError("masks are drawn from run lengths, not from polygons or PNG files")
    return Mask.from_coco(cast(Mapping[str, Any], mask))
