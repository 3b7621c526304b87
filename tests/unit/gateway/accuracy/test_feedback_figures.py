"""What feedback says of objects, masks and pixels that were found: figures of a few boxes, worked by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from models.geometry.masks import Mask
from tests.unit.gateway.accuracy.feedback_fakes import BOX, FIELD, WOOD, Street, encoded, figures, grey_png, moved
from tests.unit.gateway.test_segmentation import CLASS_MAP, FakeInstances, FakeSegmenter
from tests.unit.gateway_fakes import MemoryCache, gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_second_look")]


async def test_best_object_chooses_first_and_each_target_is_found_once():
    # IoU with the target: 0.9/1.1 of the better one and 1 of the other, which comes too late.
    found = [(0, 0.9, moved(1.0)), (0, 0.8, BOX), (1, 0.7, BOX), (0, 0.6, moved(500.0))]
    there = [{"class": "person", "box": BOX}, {"class": "traffic light", "box": moved(5.0)}]
    async with gateway(Street(*found), MemoryCache()) as client:
        assert await figures(client, {"objects": there}) == {
            "precision": 0.25,
            "recall": 0.5,
            "mean_iou": pytest.approx(9 / 11, abs=1e-6),
        }


async def test_iou_of_one_half_is_enough_and_less_is_not():
    # Boxes of 10 x 10: shifted by 10/3, they share 2/3 of the one and 4/3 of it together.
    for shift, recall in ((10 / 3 - 1e-6, 1.0), (10 / 3 + 1e-3, 0.0)):
        async with gateway(Street((0, 0.9, moved(shift))), MemoryCache()) as client:
            assert (await figures(client, {"objects": [{"class": 0, "box": BOX}]}))["recall"] == recall


async def test_what_lies_in_a_crowd_counts_neither_way():
    found = [(0, 0.9, moved(100.0)), (1, 0.8, moved(100.0))]
    crowd = {"class": 0, "box": {**moved(100.0), "x_min": 50.0, "x_max": 500.0}, "crowd": True}
    async with gateway(Street(*found), MemoryCache()) as client:
        told = await figures(client, {"objects": [crowd]})
    assert told == {"precision": 0.0, "recall": None, "mean_iou": None}, "the other class was found for nothing"


async def test_nothing_there_and_nothing_found_says_nothing():
    async with gateway(Street(), MemoryCache()) as client:
        assert await figures(client, {"objects": []}) == {"precision": None, "recall": None, "mean_iou": None}
        assert (await client.get("/v1/accuracy")).json()["models"][0]["live"]["samples"] == 1


async def test_objects_of_classes_that_were_not_asked_for_are_not_missed():
    street = Street((0, 0.9, BOX), (1, 0.8, moved(50.0)))
    there = {"objects": [{"class": 0, "box": BOX}, {"class": 2, "box": moved(100.0)}]}
    async with gateway(street, MemoryCache()) as client:
        assert (await figures(client, there, classes="person"))["recall"] == 1.0
        assert (await figures(client, there))["recall"] == 0.5
        assert (await figures(client, there, score_threshold=0.95))["recall"] == 0.0


@pytest.mark.parametrize("mask_format", ["rle", "png"])
async def test_objects_with_masks_are_compared_by_masks_and_others_by_boxes(mask_format: str):
    # The masks fill their boxes; half of one is one of four columns less, at an IoU of 3/4.
    half = np.zeros((4, 6), bool)
    half[:2, 3:] = True
    masks = [{"class": "field", "mask": Mask.from_array(half).to_coco()}, {"class": 1, "mask": WOOD}]
    box = {"x_min": 0, "y_min": 2, "x_max": 2, "y_max": 4}
    async with gateway(FakeInstances(), MemoryCache()) as client:
        names = FakeInstances.entry["class_names"]
        masks[0]["class"] = names[0]
        by_masks = await figures(client, {"objects": masks}, "/v1/segment", mask_format=mask_format)
        by_boxes = await figures(
            client, {"objects": [{"class": 1, "box": box}]}, "/v1/segment", mask_format=mask_format
        )
    assert by_masks == {"precision": 1.0, "recall": 1.0, "mean_iou": (0.75 + 1) / 2}
    assert by_boxes == {"precision": 0.5, "recall": 1.0, "mean_iou": 1.0}


@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
async def test_pixels_are_compared_class_by_class_in_any_format(mask_format: str):
    # Found: field 8 pixels, wood 4. There: field 8, of which 4 found; wood as found; the rest is nobody's.
    truth = CLASS_MAP.copy()
    truth[0, 2:], truth[3, 2:] = 0, 1
    truth[2, 2:] = 255
    told = {"class_map": encoded(truth)}
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        got = await figures(client, told, "/v1/segment", mask_format=mask_format)
    if mask_format != "polygon":  # whose corners are rounded
        # field: 4 of 12; wood: 4 of 4; background: 4 of 4 + 4 (found there) + 4 (missed).
        assert got == {
            "iou": pytest.approx((4 / 12 + 1) / 2, abs=1e-6),
            "miou": pytest.approx((4 / 12 + 1 + 1 / 3) / 3, abs=1e-6),
        }
    assert got["iou"] == pytest.approx(2 / 3, abs=0.1)


async def test_masks_by_class_are_as_good_as_a_map_and_windows_add_pixels_up():
    masks = {"masks": [{"class": "field", "mask": FIELD}, {"class": 2, "mask": WOOD}]}
    nothing = {"masks": []}
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        assert await figures(client, masks, "/v1/segment") == {"iou": 1.0, "miou": 1.0}
        alone = await figures(client, nothing, "/v1/segment")
        assert alone == {"iou": None, "miou": 0.5}, "classes that are not there are in no mean, as in an evaluation"
        live = (await client.get("/v1/accuracy")).json()["models"][0]["live"]
    assert live["figures"]["iou"] == 0.5, "each class has half of its pixels, of both images together"


async def test_pixels_of_classes_that_were_not_asked_for_are_background():
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        got = await figures(client, {"class_map": encoded(CLASS_MAP)}, "/v1/segment", classes="field")
    assert got == {"iou": 1.0, "miou": 1.0}


@pytest.mark.parametrize("depth", [2, 4, 8])
async def test_shades_of_a_class_map_are_class_ids_whatever_their_bits(depth: int):
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        told = {"class_map": grey_png(np.asarray(CLASS_MAP, np.uint8), depth)}
        assert await figures(client, told, "/v1/segment") == {"iou": 1.0, "miou": 1.0}


async def test_what_a_class_map_says_besides_its_pixels_is_not_inflated():
    file = io.BytesIO()
    Image.fromarray(np.asarray(CLASS_MAP, np.uint8)).save(file, "PNG", icc_profile=bytes(2**22))
    async with gateway(FakeSegmenter(), MemoryCache()) as client:
        told = {"class_map": base64.b64encode(file.getvalue()).decode()}
        assert await figures(client, told, "/v1/segment") == {"iou": 1.0, "miou": 1.0}


async def test_box_is_cut_to_the_image_as_answers_are():
    beyond = {"x_min": -1e300, "y_min": -30, "x_max": 20, "y_max": 1e300}
    async with gateway(Street((0, 0.9, {"x_min": 0, "y_min": 0, "x_max": 20, "y_max": 600})), MemoryCache()) as client:
        assert (await figures(client, {"objects": [{"class": 0, "box": beyond}]}))["mean_iou"] == 1.0
