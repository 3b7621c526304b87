"""Masks as the client gets them: typed, and equal as arrays whatever they travelled as."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from models.entries import MaskFormat
from models.geometry.masks import Mask
from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks, Prediction, SemanticMask
from services.answers.wire import describe_prediction
from services.client import (
    AsyncClient,
    Box,
    Client,
    Instance,
    MaskImage,
    Polygons,
    Region,
    RunLengths,
    Segmentation,
    TapetumError,
)
from services.client.masks import parse_mask

SIZE = (50, 40)
NAMES = ("background", "field", "wood")
HEAD = {"model": "field-net", "version": "3", "request_id": "r1"}
FORMATS: dict[MaskFormat, type[Any]] = {"rle": RunLengths, "polygon": Polygons, "png": MaskImage}


def class_map() -> NDArray[np.uint8]:
    pixels = np.zeros(SIZE, np.uint8)
    pixels[5:25, 3:33] = 1
    pixels[30:45, 10:20] = 2
    return pixels


def found(kind: str) -> Prediction:
    pixels = class_map()
    if kind == "regions":
        return SemanticMask(pixels, np.array([1, 2], np.int64), np.array([0.75, 0.5], np.float32), SIZE)
    boxes = np.array([[3, 5, 33, 25], [10, 30, 20, 45]], np.float32)
    masks = (Mask.from_array(pixels == 1), Mask.from_array(pixels == 2))
    return InstanceMasks(boxes, np.array([0.9, 0.8], np.float32), np.array([1, 2], np.int64), SIZE, masks)


def answer_to(kind: str, mask_format: MaskFormat) -> dict[str, Any]:
    described = describe_prediction(found(kind), NAMES, SegmentationParameters(mask_format=mask_format))
    return {**orjson.loads(orjson.dumps(described)), "cached": False}


def served(request: httpx.Request) -> httpx.Response:
    """A server of one semantic and one instance model, which answers every image alike."""
    assert request.url.path == "/v1/segment"
    if request.headers["content-type"] == "application/json":
        asked = orjson.loads(request.content)
        count, error = len(asked["images"]) - 1, {"error": {"code": "broken_image", "message": "no"}}
        results = [answer_to(asked["model"], asked.get("mask_format", "rle"))] * count
        return httpx.Response(200, json={**HEAD, "results": [*results, error]})
    params = request.url.params
    return httpx.Response(200, json={**HEAD, **answer_to(params["model"], params.get("mask_format", "rle"))})


@pytest.mark.parametrize("mask_format", FORMATS)
@pytest.mark.parametrize(("model", "row"), [("regions", Region), ("objects", Instance)])
def test_masks_are_the_same_arrays_in_every_format(model: str, row: type[Any], mask_format: MaskFormat):
    with Client("http://server", transport=httpx.MockTransport(served)) as client:
        answer = client.segment(b"photo", model=model, mask_format=mask_format)
    assert (answer.model, answer.image_size, len(answer.predictions)) == ("field-net", SIZE, 2)
    for prediction in answer.predictions:
        assert isinstance(prediction, row)
        assert isinstance(prediction.mask, FORMATS[mask_format])
        pixels = prediction.mask.to_array()
        assert (pixels.dtype, pixels.shape) == (np.bool_, SIZE)
        assert (pixels == (class_map() == prediction.class_id)).all()
        assert prediction.fraction == pytest.approx(prediction.area_pixels / (50 * 40), abs=1e-6)
    assert (answer.class_map is not None) == (model == "regions" and mask_format == "png")


@pytest.mark.parametrize("mask_format", FORMATS)
@pytest.mark.parametrize("model", ["regions", "objects"])
def test_typed_answer_is_the_servers_own_as_json(model: str, mask_format: MaskFormat):
    given = answer_to(model, mask_format)
    answer = Segmentation.parse({**HEAD, **given})
    assert orjson.loads(orjson.dumps(answer.to_json())) == {
        name: value for name, value in given.items() if name != "cached"
    }


def test_rows_have_what_their_kind_of_model_says():
    region = Segmentation.parse({**HEAD, **answer_to("regions", "rle")}).predictions[0]
    instance = Segmentation.parse({**HEAD, **answer_to("objects", "rle")}).predictions[0]
    assert isinstance(region, Region)
    assert (region.class_name, region.area_pixels, region.fraction, region.probability) == ("field", 600, 0.3, 0.75)
    assert isinstance(instance, Instance)
    assert (instance.box, instance.score, instance.area_pixels) == (Box(3, 5, 33, 25), 0.9, 600)


def test_several_images_give_a_list_with_errors_in_their_places():
    with Client("http://server", transport=httpx.MockTransport(served)) as client:
        first, bad = client.segment_many([b"photo", b"dog"], model="regions")
    assert isinstance(first, Segmentation)
    assert isinstance(bad, TapetumError)


async def test_the_asynchronous_client_answers_alike():
    async with AsyncClient("http://server", transport=httpx.MockTransport(served)) as client:
        one = await client.segment(b"photo", model="objects", classes=["field", 2], score_threshold=0.5)
        first, bad = await client.segment_many([b"photo", b"dog"], model="objects", probabilities=True)
    assert isinstance(first, Segmentation)
    assert isinstance(bad, TapetumError)
    assert one.predictions == first.predictions


def test_run_lengths_are_read_as_pycocotools_writes_them():
    rng = np.random.default_rng(7)
    for _ in range(100):
        size = tuple(rng.integers(1, 70, 2).tolist())
        pixels = rng.random(size) < rng.choice([0.0, 0.02, 0.5, 1.0])
        mask = parse_mask(Mask.from_array(pixels).to_coco(), size)
        assert (mask.to_array() == pixels).all()


def test_polygons_cover_the_pixels_whose_middle_they_hold():
    triangle = Polygons((4, 5), ((0.0, 0.0, 4.0, 0.0, 0.0, 4.0),))
    assert triangle.to_array().astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    beyond = Polygons((2, 3), ((-9.0, -9.0, 1.0, -9.0, 1.0, 9.0, -9.0, 9.0),))
    assert beyond.to_array().astype(int).tolist() == [[1, 0, 0], [1, 0, 0]]
    assert not Polygons((2, 3), ((5.0, 5.0, 6.0, 5.0, 6.0, 6.0), (0.6, 0.6, 0.9, 0.6, 0.9, 0.9))).to_array().any()
    assert not Polygons((2, 3), ()).to_array().any()


def test_arrays_are_made_without_torch():
    code = (
        "import sys; from services.client import RunLengths; print(RunLengths((4, 4), '52203').to_array().sum());"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    area, loaded = done.stdout.splitlines()
    assert area == "4"
    assert not {"torch", "models", "pycocotools"} & set(loaded.split())
