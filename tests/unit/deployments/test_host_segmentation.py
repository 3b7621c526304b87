"""What a replica of segmenters does, without Ray around it: real networks, though none of them was trained."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.geometry.masks import Mask
from services.answers.wire import Item
from services.deployments import outcomes
from services.deployments.host import ModelHost
from tests.unit.hosted_answers import answer_of, photo
from tests.unit.segmenter_cards import INSTANCE_CLASSES, SEMANTIC_CLASSES, write_segmenter

pytestmark = pytest.mark.usefixtures("one_thread")

SEMANTIC, INSTANCE = "unet", "mask-rcnn-efficientnet-lite0"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelHost]:
    """A replica of one model of each kind."""
    folder = tmp_path_factory.mktemp("catalog")
    for model in (SEMANTIC, INSTANCE):
        write_segmenter(folder, model, model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.deployments.host.configure_logging", lambda _: None)  # it is for the whole process
        patch.setenv("TAPETUM_CATALOG", str(folder))
        config = {"name": "Segmenter", "task": "segmentation", "models": [SEMANTIC, INSTANCE], "num_threads": 1}
        yield ModelHost({**config, "max_batch_size": 4, "max_batch_pixels": 4 * 64 * 64})


def item(model: str, image: bytes, **parameters: Any) -> Item:
    threshold = {"score_threshold": 0.1} if model == INSTANCE else {}
    return Item(model, image, {**threshold, **parameters}, time.time() + 60)


@pytest.mark.parametrize(("model", "names"), [(SEMANTIC, SEMANTIC_CLASSES[1:]), (INSTANCE, INSTANCE_CLASSES)])
async def test_masks_are_in_pixels_of_the_image(host: ModelHost, model: str, names: tuple[str, ...]):
    sizes = [(96, 96), (300, 201), (33, 150)]
    outcomes = await host.predict([item(model, photo(size)) for size in sizes])
    for (width, height), outcome in zip(sizes, outcomes, strict=True):
        answer = answer_of(outcome)
        assert answer["image"] == {"height": height, "width": width}
        assert answer["predictions"]
        assert {"decode", "preprocess", "queue", "forward", "postprocess"} == set(outcome.stages_ms)
        for found in answer["predictions"]:
            pixels = Mask.from_coco(found["mask"]).to_array()
            assert pixels.shape == (height, width)
            assert pixels.sum() == found["area_pixels"]
            assert found["class_name"] in names


async def test_formats_are_those_of_each_request(host: ModelHost):
    image = photo((120, 90))
    kinds = ("rle", "polygon", "png")
    regions = await host.predict([item(SEMANTIC, image, mask_format=kind) for kind in kinds])
    things = await host.predict([item(INSTANCE, image, mask_format=kind, max_detections=2) for kind in kinds])
    assert [type(answer_of(outcome)["predictions"][0].get("mask")) for outcome in regions] == [dict, list, type(None)]
    assert [type(answer_of(outcome)["predictions"][0]["mask"]) for outcome in things] == [dict, list, str]
    with Image.open(io.BytesIO(base64.b64decode(answer_of(regions[2])["class_map"]))) as picture:
        class_map = np.asarray(picture)
    for found in answer_of(regions[0])["predictions"]:
        assert (Mask.from_coco(found["mask"]).to_array() == (class_map == found["class_id"])).all()


async def test_classes_and_probabilities_are_those_of_each_request(host: ModelHost):
    image = photo((120, 90))
    (every,) = await host.predict([item(SEMANTIC, image)])
    largest = answer_of(every)["predictions"][0]
    chosen = (largest["class_id"],)
    alone, none, sure = await host.predict(
        [
            item(SEMANTIC, image, class_ids=chosen),
            item(SEMANTIC, image, class_ids=()),
            item(SEMANTIC, image, class_ids=chosen, probabilities=True),
        ]
    )
    assert answer_of(alone)["predictions"] == [largest]
    assert answer_of(none)["predictions"] == []
    (with_probability,) = answer_of(sure)["predictions"]
    assert 1 / len(SEMANTIC_CLASSES) <= with_probability.pop("probability") <= 1, "the greatest of so many"
    assert with_probability == largest


async def test_bad_image_fails_alone(host: ModelHost):
    outcomes = await host.predict([item(SEMANTIC, photo((64, 64))), item(SEMANTIC, b"no image")])
    assert [outcome.failure and outcome.failure.code for outcome in outcomes] == [None, "unsupported_image"]


async def test_answer_that_is_too_large_to_be_sent_says_so(host: ModelHost, monkeypatch: pytest.MonkeyPatch):
    (fine,) = await host.predict([item(INSTANCE, photo((64, 64)), max_detections=1)])
    assert fine.body is not None
    monkeypatch.setattr(outcomes, "MAX_ANSWER_BYTES", len(fine.body))
    small, large = await host.predict(
        [item(INSTANCE, photo((64, 64)), max_detections=1), item(INSTANCE, photo((64, 64)), max_detections=20)]
    )
    assert small.body == fine.body
    assert large.failure is not None
    assert (large.failure.status, large.failure.code) == (422, "answer_too_large")
    assert "mask_format=rle" in large.failure.message
    assert large.failure.details["max_bytes"] == len(fine.body) < large.failure.details["bytes"]


def test_replica_describes_all_that_the_gateway_needs(host: ModelHost):
    semantic, instance = host.describe()
    assert (semantic["segmentation"], semantic["defaults"]) == ("semantic", {})
    assert (instance["segmentation"], instance["defaults"]) == (
        "instance",
        {"score_threshold": 0.3, "max_detections": 20},
    )
    assert semantic["class_names"][0] == "background"
