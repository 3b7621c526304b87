"""Agreement of two versions on one image, on small examples worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.datasets.key_points import BODY_SHARE
from models.geometry.masks import Mask
from models.parameters import SegmentationParameters
from models.predictions import SemanticMask
from services.answers.wire import describe_prediction
from services.errors import OutOfTime
from services.gateway.serving.offload import NO_LIMIT, TimeLimit
from services.gateway.shadow.agreement import (
    agree,
    agreement_of,
    box_agreement,
    class_agreement,
    mask_agreement,
    pose_agreement,
    region_agreement,
)

IMAGE = {"height": 10, "width": 20}
NAMES = ["person", "dog"]


def classes(*names: str) -> dict[str, Any]:
    """An answer with these classes, best first."""
    rows = [{"class_id": NAMES.index(name), "class_name": name, "probability": 0.5} for name in names]
    return {"image": IMAGE, "predictions": rows}


def boxes(*found: tuple[str, float, float], names: list[str] = NAMES) -> dict[str, Any]:
    """An answer with boxes of height 10 by class, from x to x."""
    rows = [
        {
            "box": {"x_min": left, "y_min": 0.0, "x_max": right, "y_max": 10.0},
            "class_id": names.index(name),
            "class_name": name,
            "score": 0.9 - 0.1 * place,
        }
        for place, (name, left, right) in enumerate(found)
    ]
    return {"image": IMAGE, "predictions": rows}


def masks(*found: tuple[str, int, int]) -> dict[str, Any]:
    """An answer with objects whose pixels are whole columns; their boxes cover the image."""
    answer = boxes(*((name, 0.0, 20.0) for name, _, _ in found))
    for row, (_, left, right) in zip(answer["predictions"], found, strict=True):
        pixels = np.zeros((10, 20), bool)
        pixels[:, left:right] = True
        row["mask"] = Mask.from_array(pixels).to_coco()
    return answer


def regions(class_map: NDArray[np.uint8], names: list[str], mask_format: Any = "rle") -> dict[str, Any]:
    ids = np.unique(class_map[class_map > 0]).astype(np.int64)
    prediction = SemanticMask(class_map, ids, None, (10, 20))
    return describe_prediction(prediction, names, SegmentationParameters(mask_format=mask_format))


@pytest.mark.parametrize(("shadow", "top1"), [(("dog", "person"), 1.0), (("person", "dog"), 0.0)])
def test_top1_is_whether_the_best_classes_are_the_same(shadow: tuple[str, ...], top1: float):
    assert class_agreement(classes("dog"), classes(*shadow), NAMES) == {"top1": top1}


def test_classes_are_compared_by_name():
    renumbered = {"image": IMAGE, "predictions": [{"class_id": 0, "class_name": "dog", "probability": 0.5}]}
    assert class_agreement(classes("dog"), renumbered, ["dog", "person"]) == {"top1": 1.0}
    assert class_agreement(classes("dog"), classes("person"), ["person"]) == {"top1": 0.0}


def test_box_iou_is_the_mean_of_the_matched_boxes():
    primary = boxes(("person", 0, 8), ("person", 10, 20))
    shadow = boxes(("person", 2, 8), ("person", 10, 20))
    assert box_agreement(primary, shadow, NAMES) == {"box_iou": pytest.approx((0.75 + 1) / 2), "matched": 1.0}


def test_boxes_without_a_match_lower_the_matched_share_and_not_the_iou():
    primary = boxes(("person", 0, 8), ("person", 10, 20))
    shadow = boxes(("person", 0, 8), ("dog", 10, 20), ("person", 18, 20))
    assert box_agreement(primary, shadow, NAMES) == {"box_iou": 1.0, "matched": pytest.approx(2 / 5)}


def test_boxes_match_from_an_iou_of_one_half():
    primary = boxes(("person", 0, 10))
    assert box_agreement(primary, boxes(("person", 0, 5)), NAMES) == {"box_iou": 0.5, "matched": 1.0}
    assert box_agreement(primary, boxes(("person", 0, 4.9)), NAMES)["matched"] == 0.0


def test_box_matches_once():
    told = box_agreement(boxes(("person", 0, 10)), boxes(("person", 0, 10), ("person", 0, 10)), NAMES)
    assert told == {"box_iou": 1.0, "matched": pytest.approx(2 / 3)}


def test_boxes_of_renumbered_classes_match():
    assert box_agreement(boxes(("dog", 0, 8)), boxes(("dog", 0, 8), names=["dog"]), ["dog"])["matched"] == 1.0


def test_two_answers_without_objects_have_nothing_to_compare_and_agree():
    told = box_agreement(boxes(), boxes(), NAMES)
    assert all(math.isnan(value) for value in told.values())
    assert agree(told)


@pytest.mark.parametrize("found", [(boxes(), boxes(("dog", 0, 5))), (boxes(("dog", 0, 5)), boxes())])
def test_objects_of_one_version_only_are_a_disagreement(found: tuple[dict[str, Any], dict[str, Any]]):
    told = box_agreement(*found, NAMES)
    assert math.isnan(told["box_iou"]) and told["matched"] == 0.0
    assert not agree(told)


def test_mask_iou_is_that_of_the_pixels_of_objects():
    told = mask_agreement(masks(("person", 0, 8)), masks(("person", 2, 8)), NAMES)
    assert told == {"mask_iou": 0.75, "matched": 1.0}
    assert mask_agreement(masks(("person", 0, 8)), masks(("person", 8, 20)), NAMES)["matched"] == 0.0


def test_mask_iou_of_regions_is_the_mean_over_the_classes_of_either_version():
    primary, shadow = np.zeros((10, 20), np.uint8), np.zeros((10, 20), np.uint8)
    primary[:, :8], shadow[:, 2:8], shadow[:, 18:] = 1, 1, 2
    names = ["background", "field", "wood"]
    told = region_agreement(regions(primary, names), regions(shadow, names), names)
    assert told == {"mask_iou": pytest.approx((0.75 + 0.0) / 2)}
    empty = regions(np.zeros((10, 20), np.uint8), names)
    assert region_agreement(empty, empty, names) == {"mask_iou": 1.0}


@pytest.mark.parametrize("mask_format", ["rle", "png"])
def test_regions_are_compared_by_the_names_of_their_classes(mask_format: Any):
    names, others = ["background", "field", "wood"], ["background", "wood", "field"]
    class_map = np.zeros((10, 20), np.uint8)
    class_map[:, :8], class_map[:, 8:12] = 1, 2
    swapped = np.choose(class_map, [0, 2, 1]).astype(np.uint8)
    told = region_agreement(regions(class_map, names, mask_format), regions(swapped, others, mask_format), others)
    assert told == {"mask_iou": 1.0}


def test_comparison_ends_at_its_time_limit():
    limit = TimeLimit(0.0)
    with pytest.raises(OutOfTime):
        mask_agreement(masks(("person", 0, 8)), masks(("person", 0, 8)), NAMES, limit)


def test_answers_agree_from_three_quarters():
    assert agree({"box_iou": 0.75, "matched": 1.0})
    assert not agree({"box_iou": 0.749, "matched": 1.0})


def poses(*offsets: float, points: int = 2) -> dict[str, Any]:
    """An answer with people of 10 × 10 pixels, whose key points are in their middle, or so many pixels from it."""
    rows = boxes(*(("person", 0.0, 10.0) for _ in offsets))["predictions"]
    for row, offset in zip(rows, offsets, strict=True):
        row["keypoints"] = [{"name": f"p{index}", "x": 5 + offset, "y": 5.0, "score": 1.0} for index in range(points)]
    return {"image": IMAGE, "predictions": rows}


def test_poses_are_compared_by_the_sigmas_of_the_model() -> None:
    entry = {"class_names": NAMES, "skeleton": {"sigmas": [0.1, 0.1]}}
    told = agreement_of("keypoints", entry)(poses(0), poses(1), NAMES, NO_LIMIT)
    expected = math.exp(-1 / (2 * (2 * 0.1) ** 2 * 100 * BODY_SHARE))
    assert told == {"oks": pytest.approx(expected, abs=1e-5), "matched": 1.0}
    looser = {**entry, "skeleton": {"sigmas": [0.5, 0.5]}}
    assert agreement_of("keypoints", looser)(poses(0), poses(1), NAMES, NO_LIMIT)["oks"] > expected


def test_poses_with_other_numbers_of_key_points_agree_in_nothing() -> None:
    for primary, shadow in ((poses(0, points=3), poses(0)), (poses(0, points=3), poses())):
        assert pose_agreement(primary, shadow, NAMES, sigmas=[0.1, 0.1]) == {"oks": 0.0, "matched": 0.0}
    assert math.isnan(pose_agreement(poses(), poses(), NAMES, sigmas=[0.1, 0.1])["matched"])
