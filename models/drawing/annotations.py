"""Annotations to draw: the classes or objects of a response of the HTTP API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from models.drawing.color_assignment import keys_apart
from models.drawing.palette import Color, color_of
from models.entries.skeletons import sides_of
from models.geometry.masks import Mask

Box = tuple[float, float, float, float]
"""x_min, y_min, x_max, y_max in pixels of the upright original."""


class Pose(NamedTuple):
    """The key points of an object.

    Attributes:
        points: K, x and y in pixels of the upright original.
        shown: K, whether each is drawn.
        edges: Pairs of indices that are joined by a line where both are drawn.
        sides: K, -1 for a point of the left side, 1 for one of the right, 0 for one of neither.
        names: K.
    """

    points: tuple[tuple[float, float], ...]
    shown: tuple[bool, ...]
    edges: tuple[tuple[int, int], ...]
    sides: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation of a picture: a class of the whole image, an object, or the region of a class.

    Attributes:
        class_id: Annotations of equal ids have equal colours in every picture.
        class_name: Text in any script.
        score: Probability or score, 0 to 1; for a region, its share of the image. NaN for ground truth: no score is
            drawn.
        box: Of an object; None for the whole image.
        color_key: Determines the colour instead of `class_id`.
        mask: Its pixels in the upright original; None without a mask.
        pose: Its key points; None where it has none.
    """

    class_id: int
    class_name: str
    score: float
    box: Box | None = None
    color_key: int | None = None
    mask: Mask | None = None
    pose: Pose | None = None

    @property
    def color(self) -> Color:
        """Colour of the annotation."""
        return color_of(self.class_id if self.color_key is None else self.color_key)


def annotations_of_answer(answer: Mapping[str, Any], class_count: int | None = None) -> list[Annotation]:
    """Converts a response of the HTTP API to annotations, best first.

    Args:
        answer: The JSON object of one image: with `image` and `predictions`, each of which has `class_id`,
            `class_name`, and `probability`, or `fraction` and `mask`, or `score`, `box` and perhaps `mask` or
            `keypoints`. Masks are run lengths.
        class_count: Number of the model's classes; None where it is unknown: more than one is assumed.

    Returns:
        One annotation for each class or object. A class has one colour in every picture, except that every object of a
        picture has its own colour where objects have masks or key points, or where the model has a single class.

    Raises:
        ValueError: Masks are not run lengths.
    """
    rows: list[Mapping[str, Any]] = answer["predictions"]
    boxes = [_box_of(row["box"]) if "box" in row else None for row in rows]
    found = [box for box in boxes if box is not None]
    edges = tuple((start, end) for start, end in answer.get("skeleton", ()))
    keys = iter(_color_keys(found, own=class_count == 1 or any("mask" in row or "keypoints" in row for row in rows)))
    return [
        Annotation(
            row["class_id"],
            row["class_name"],
            row["score" if box else "fraction" if "fraction" in row else "probability"],
            box,
            next(keys) if box else None,
            _mask_of(row),
            _pose_of(row, edges),
        )
        for row, box in zip(rows, boxes, strict=True)
    ]


def _color_keys(boxes: Sequence[Box], *, own: bool) -> Sequence[int | None]:
    return keys_apart(boxes) if own else [None] * len(boxes)


def _box_of(corners: Mapping[str, float]) -> Box:
    return corners["x_min"], corners["y_min"], corners["x_max"], corners["y_max"]


def _pose_of(row: Mapping[str, Any], edges: tuple[tuple[int, int], ...]) -> Pose | None:
    """The key points of a row; None for a row without any."""
    if "keypoints" not in row:
        return None
    points: list[Mapping[str, Any]] = row["keypoints"]
    names = tuple(point["name"] for point in points)
    return Pose(
        tuple((point["x"], point["y"]) for point in points),
        tuple(bool(point["visible"]) for point in points),
        edges,
        sides_of(names),
        names,
    )


def _mask_of(row: Mapping[str, Any]) -> Mask | None:
    """The mask of a row; None for a row without `area_pixels`."""
    if "area_pixels" not in row:
        return None
    mask: Any = row.get("mask")
    if not isinstance(mask, dict):
        raise ValueError("masks are drawn from run lengths, not from polygons or PNG files")
    return Mask.from_coco(cast(Mapping[str, Any], mask))
