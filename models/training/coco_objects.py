"""Reads the annotations of a file in COCO's format for training, where an invalid annotation is an error."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from models.datasets.coco_members import box_numbers, finite_number, flag, segment_of, shown, whole_number
from models.datasets.object_masks import rectangle, segment_area, segment_box
from models.datasets.photo_dataset import DatasetError


@dataclass(frozen=True, slots=True, eq=False)
class CocoObject:
    """One annotation.

    Attributes:
        category_id: Number of its category.
        box: x_min, y_min, x_max, y_max in pixels; that of the segment where the file has none.
        crowd: Whether it is a region of many objects.
        segment: Polygons or run lengths, as `CocoMasks` has them; None where it has none.
        stated_area: In pixels; None where the file does not say it.
    """

    category_id: int
    box: tuple[float, float, float, float]
    crowd: bool
    segment: Any
    stated_area: float | None

    @property
    def has_area(self) -> bool:
        """Whether the box has an area, as training needs."""
        x_min, y_min, x_max, y_max = self.box
        return x_max > x_min and y_max > y_min

    @property
    def shape(self) -> Any:
        """The segment, or the box as one."""
        return self.segment or rectangle(self.box)

    def area(self, size: tuple[int, int]) -> float:
        """Returns the stated area, or else that of the segment, or else (also where that is invalid) of the box.

        Args:
            size: (height, width) of the photo in pixels.
        """
        if self.stated_area:
            return self.stated_area
        x_min, y_min, x_max, y_max = self.box
        try:
            area = segment_area(self.shape, size)
        except (TypeError, ValueError):
            area = 0.0
        return area if area > 0 else (x_max - x_min) * (y_max - y_min)


def objects_of_photo(
    path: Path, rows: Sequence[tuple[int, Mapping[str, Any]]], size: tuple[int, int]
) -> list[CocoObject]:
    """Reads the annotations of one photo; see `models.datasets.coco_members` for the spellings.

    Args:
        path: Of the file, for messages.
        rows: Annotations and their places in the file's list.
        size: (height, width) of the photo in pixels.

    Returns:
        The objects, also those whose box has no area, of which COCO's own files have some.

    Raises:
        DatasetError: A member cannot be read; the message names the annotation.
    """
    return [_object(row, size, f"{path}: annotations[{index}]") for index, row in rows]


def rows_by_image(
    path: Path, document: Mapping[str, Any], category_ids: Collection[int]
) -> dict[int, list[tuple[int, Mapping[str, Any]]]]:
    """Groups annotations, each with its place in the list, by the id of their image.

    Args:
        path: Of the file, for messages.
        document: Of the file.
        category_ids: Those that an annotation may have.

    Raises:
        DatasetError: An annotation is not an object, or its image or category is not in the file.
    """
    image_ids = {whole_number(row["id"]) for row in document["images"]}
    grouped: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
    for index, row in enumerate(document["annotations"]):
        place = f"{path}: annotations[{index}]"
        if not isinstance(row, dict):
            raise DatasetError(f"{place}: not in COCO's format: an annotation is an object")
        row = cast(dict[str, Any], row)
        image_id, category_id = whole_member(place, row, "image_id"), whole_member(place, row, "category_id")
        if image_id not in image_ids:
            raise DatasetError(f"{place}: there is no image with the id {image_id}")
        if category_id not in category_ids:
            raise DatasetError(f"{place}: there is no category with the id {category_id}")
        grouped.setdefault(image_id, []).append((index, row))
    return grouped


def whole_member(place: str, row: Mapping[str, Any], name: str) -> int:
    """Reads an id.

    Args:
        place: Of the row, for the message.
        row: Of the file.
        name: Of the member.

    Raises:
        DatasetError: It is not a whole number.
    """
    number = whole_number(row.get(name))
    if number is None:
        raise DatasetError(f"{place}: the {name} {shown(row.get(name))} is not a whole number")
    return number


def _object(row: Mapping[str, Any], size: tuple[int, int], place: str) -> CocoObject:
    crowd, area, segment = flag(row.get("iscrowd")), finite_number(row.get("area")), segment_of(row)
    if crowd is None:
        raise DatasetError(f"{place}: the iscrowd {shown(row.get('iscrowd'))} is neither 0 nor 1")
    stated = area if area is not None and area > 0 else None
    box = _box(row, segment, size, place)
    return CocoObject(whole_member(place, row, "category_id"), box, crowd, segment, stated)


def _box(row: Mapping[str, Any], segment: Any, size: tuple[int, int], place: str) -> tuple[float, float, float, float]:
    if not row.get("bbox") and segment is not None:
        try:
            box = segment_box(segment, size)
        except (TypeError, ValueError) as error:
            raise DatasetError(f"{place}: no bbox, and its segmentation gives none: {error}") from None
        if not all(map(math.isfinite, box)):
            raise DatasetError(f"{place}: no bbox, and its segmentation has coordinates that are not finite numbers")
        return box
    numbers = box_numbers(row.get("bbox"))
    if numbers is None:
        raise DatasetError(
            f"{place}: the bbox {shown(row.get('bbox'))} is not four finite numbers: x, y, width, height"
        )
    x, y, width, height = numbers
    return x, y, x + width, y + height
