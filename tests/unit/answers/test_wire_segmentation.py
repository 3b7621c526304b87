"""What an answer says of masks, in each of the formats."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from models.entries import MaskFormat
from models.geometry.masks import Mask
from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks, SemanticMask
from services.answers.wire import describe_prediction

NAMES = ("background", "field", "wood", "lake")
SIZE = (40, 60)


def class_map() -> NDArray[np.uint8]:
    """A field of 10 × 20, a wood of 30 × 25 and a lake of 4 × 5 pixels."""
    pixels = np.zeros(SIZE, np.uint8)
    pixels[:10, :20] = 1
    pixels[10:, 30:55] = 2
    pixels[2:6, 50:55] = 3
    return pixels


def semantic(class_ids: tuple[int, ...] = (1, 2, 3), probabilities: tuple[float, ...] | None = None) -> SemanticMask:
    shares = None if probabilities is None else np.array(probabilities, np.float32)
    return SemanticMask(class_map(), np.array(class_ids, np.int64), shares, SIZE)


def instances() -> InstanceMasks:
    pixels = class_map()
    boxes = np.array([[30.004, 10, 55, 40], [0, 0, 20, 10]], np.float32)
    masks = (Mask.from_array(pixels == 2), Mask.from_array(pixels == 1))
    return InstanceMasks(boxes, np.array([0.9, 0.75], np.float32), np.array([1, 0], np.int64), SIZE, masks)


def told(mask_format: MaskFormat) -> SegmentationParameters:
    return SegmentationParameters(mask_format=mask_format)


def png_of(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text, validate=True)))


def decoded(mask: Any, mask_format: MaskFormat) -> NDArray[np.bool_]:
    """(H, W) bool, by pycocotools or Pillow."""
    if mask_format == "png":
        return np.asarray(png_of(mask)).astype(bool)
    if mask_format == "polygon":
        mask = coco_mask.merge(coco_mask.frPyObjects(mask, *SIZE))  # pyright: ignore
    return coco_mask.decode(mask).astype(bool)


def same(one: NDArray[np.bool_], other: NDArray[np.bool_], mask_format: MaskFormat) -> bool:
    """Whether two masks are equal; for polygons, but for pixels at their edges."""
    return (one & other).sum() / (one | other).sum() >= (0.98 if mask_format == "polygon" else 1)


def test_classes_come_with_most_pixels_first_and_numbers_of_them():
    answer = describe_prediction(semantic(), NAMES)
    rows = [{name: value for name, value in row.items() if name != "mask"} for row in answer["predictions"]]
    assert answer["image"] == {"height": 40, "width": 60}
    assert "class_map" not in answer
    assert rows == [
        {"class_id": 2, "class_name": "wood", "area_pixels": 750, "fraction": 0.3125},
        {"class_id": 1, "class_name": "field", "area_pixels": 200, "fraction": 0.083333},
        {"class_id": 3, "class_name": "lake", "area_pixels": 20, "fraction": 0.008333},
    ]


@pytest.mark.parametrize("mask_format", ["rle", "polygon"])
def test_others_read_the_mask_of_each_class(mask_format: MaskFormat):
    for row in describe_prediction(semantic(), NAMES, told(mask_format))["predictions"]:
        assert same(decoded(row["mask"], mask_format), class_map() == row["class_id"], mask_format)


@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
def test_others_read_the_mask_of_each_object(mask_format: MaskFormat):
    best, other = describe_prediction(instances(), NAMES[1:], told(mask_format))["predictions"]
    assert same(decoded(best.pop("mask"), mask_format), class_map() == 2, mask_format)
    assert same(decoded(other.pop("mask"), mask_format), class_map() == 1, mask_format)
    assert best == {
        "box": {"x_min": 30.0, "y_min": 10.0, "x_max": 55.0, "y_max": 40.0},
        "class_id": 1,
        "class_name": "wood",
        "score": 0.9,
        "area_pixels": 750,
    }
    assert (other["class_name"], other["score"], other["area_pixels"]) == ("field", 0.75, 200)


def test_classes_as_png_share_one_map():
    answer = describe_prediction(semantic(), NAMES, told("png"))
    assert all("mask" not in row for row in answer["predictions"])
    assert (np.asarray(png_of(answer["class_map"])) == class_map()).all()


def test_probabilities_stay_with_their_classes():
    rows = describe_prediction(semantic((1, 2, 3), (0.5, 0.25, 1 / 3)), NAMES)["predictions"]
    assert [(row["class_id"], row["probability"]) for row in rows] == [(2, 0.25), (1, 0.5), (3, 0.333333)]


@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
def test_image_with_nothing_in_it_has_an_empty_list(mask_format: MaskFormat):
    nothing = SemanticMask(np.zeros(SIZE, np.uint8), np.zeros(0, np.int64), None, SIZE)
    empty = np.zeros(0, np.float32)
    nobody = InstanceMasks(np.zeros((0, 4), np.float32), empty, empty.astype(np.int64), SIZE, ())
    assert describe_prediction(nobody, NAMES, told(mask_format))["predictions"] == []
    answer = describe_prediction(nothing, NAMES, told(mask_format))
    assert answer["predictions"] == []
    assert ("class_map" in answer) == (mask_format == "png")


def test_object_without_pixels_is_still_an_answer():
    box = np.array([[1, 1, 1, 1]], np.float32)
    mask = Mask.from_array(np.zeros(SIZE, bool))
    found = InstanceMasks(box, np.array([0.5], np.float32), np.array([0], np.int64), SIZE, (mask,))
    for mask_format in ("rle", "polygon", "png"):
        (row,) = describe_prediction(found, ("field",), told(mask_format))["predictions"]
        assert row["area_pixels"] == 0
