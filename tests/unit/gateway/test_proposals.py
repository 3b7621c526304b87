"""`proposals` and `family` at `POST /v1/detect`: how they are read, and what is refused before a model sees them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from services.client import AsyncClient
from tests.unit.gateway.test_detection import FakeDetector, detect
from tests.unit.gateway_fakes import MemoryCache, gateway, png

BOXES = [[0, 1.5, 10, 20], [3, 4, 5, 6]]
ENCODED = base64.b64encode(png()).decode()


async def test_proposals_reach_the_model_from_query_form_and_json():
    backend = FakeDetector()
    async with gateway(backend) as client:
        await detect(client, proposals=json.dumps(BOXES))
        await client.post("/v1/detect", files={"image": png()}, data={"proposals": json.dumps(BOXES), "family": "rcnn"})
        await client.post("/v1/detect", json={"image": {"base64": ENCODED}, "proposals": BOXES, "family": "fast-rcnn"})
    boxes = tuple(tuple(map(float, box)) for box in BOXES)
    assert [told["proposals"] for told in backend.told] == [boxes] * 3
    assert [told["family"] for told in backend.told] == ["fast-rcnn", "rcnn", "fast-rcnn"]


async def test_a_request_without_proposals_is_what_it_was_before_there_were_any():
    backend = FakeDetector()
    async with gateway(backend) as client:
        await detect(client)
    assert set(backend.told[0]) == {"score_threshold", "iou_threshold", "max_detections", "class_ids", "class_agnostic"}


async def test_each_family_has_a_cache_entry_of_its_own():
    async with gateway(FakeDetector(), MemoryCache()) as client:
        asked: list[dict[str, Any]] = [{}, {"family": "fast-rcnn"}, {"family": "rcnn"}, {"family": "rcnn"}]
        answers = [await detect(client, proposals=json.dumps(BOXES), **family) for family in asked]
    assert [answer.json()["cached"] for answer in answers] == [False, True, False, True]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"proposals": [[0, 0, 1, 1]] * 1001}, "proposals: Input should have 1 to 1000 boxes, not 1001"),
        ({"proposals": []}, "proposals: Input should have 1 to 1000 boxes, not 0"),
        ({"proposals": [[0, 0, 1, 1]] * 101, "family": "rcnn"}, "101 boxes; family=rcnn takes 100 at most"),
        ({"proposals": [[5, 0, 5, 9]]}, "box 0 has no area: x_min must be below x_max, and y_min below y_max"),
        ({"proposals": [[0, 0, 9, 9], [5, 9, 7, 2]]}, "box 1 has no area"),
        ({"proposals": [[-1, 0, 5, 9]]}, "box 0 begins outside the image"),
        ({"proposals": [[0, 0, 5]]}, "box 0 should be four numbers: x_min, y_min, x_max, y_max"),
        ({"proposals": [[0, 0, True, 5]]}, "box 0 should be four numbers"),
        ({"proposals": "boxes"}, "Input should be a list [[x_min, y_min, x_max, y_max], …]"),
        ({"proposals": 7}, "Input should be a list [[x_min, y_min, x_max, y_max], …]"),
        ({"family": "rcnn"}, "family: it says how proposals are classified; give some"),
        ({"proposals": [[0, 0, 1, 1]], "family": "yolo"}, "family: Input should be 'fast-rcnn' or 'rcnn'"),
        ({"proposals": [[0, 0, 1, 1]], "augment": True}, "leave augment out"),
    ],
)
async def test_bad_proposals_are_refused(given: dict[str, Any], message: str):
    backend = FakeDetector()
    async with gateway(backend) as client:
        response = await client.post("/v1/detect", json={"image": {"base64": ENCODED}, **given})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_parameters")
    assert message in response.json()["error"]["message"]
    assert backend.calls == []


async def test_proposals_are_of_one_image():
    async with gateway(FakeDetector()) as client:
        document = {"images": [{"base64": ENCODED}] * 2, "proposals": BOXES}
        response = await client.post("/v1/detect", json=document)
    assert response.status_code == 422
    assert "they are of one image, and there are 2" in response.json()["error"]["message"]


async def test_documentation_describes_proposals_and_family():
    async with gateway(FakeDetector()) as client:
        document = (await client.get("/openapi.json")).json()
    names = {parameter["name"] for parameter in document["paths"]["/v1/detect"]["post"]["parameters"]}
    assert {"proposals", "family"} <= names


async def test_the_client_sends_proposals_that_no_query_would_hold():
    backend = FakeDetector()
    async with gateway(backend) as http:
        transport: Any = http._transport
        async with AsyncClient("http://test", transport=transport) as client:
            await client.detect(png(), proposals=[[0, 0, 1, 1]] * 1000)
    assert len(backend.told[0]["proposals"]) == 1000
