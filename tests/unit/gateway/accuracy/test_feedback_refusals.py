"""Feedback of the wrong shape is refused, by the name of the member that is wrong."""

from __future__ import annotations

import base64
import time
from typing import Any

import numpy as np
import pytest

from tests.unit.gateway.accuracy.feedback_fakes import BOX, FIELD, WOOD, Cats, Street, encoded, error_of, grey_png, tell
from tests.unit.gateway.test_segmentation import CLASS_MAP, FakeInstances, FakeSegmenter
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, gateway, png, post

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_second_look")]

OBJECT = {"class": "person", "box": BOX}
BAD_RUNS = ["", "1", "o" * 50, "52203\u00e9", "5220", "!!", [24], [1, -1, 24], [2**70], [25, -1], ["a"], [[24]], None]


@pytest.mark.parametrize(
    ("backend", "target", "member"),
    [
        (Cats(), {}, "target.class"),
        (Cats(), {"class": "dog"}, "target.class"),
        (Cats(), {"class": 4}, "target.class"),
        (Cats(), {"class": True}, "target.class"),
        (Cats(), {"class": "tabby", "score": 1}, "target.score"),
        (Cats(), {"objects": []}, "target.class"),
        (Street(), {"class": "person"}, "target.objects"),
        (Street(), {"objects": [{"class": "person"}]}, "target.objects.0"),
        (Street(), {"objects": [{"box": BOX}]}, "target.objects.0.class"),
        (Street(), {"objects": [OBJECT, {**OBJECT, "class": "dog"}]}, "target.objects.1.class"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_max": 10.0}}]}, "target.objects.0.box"),
        (Street(), {"objects": [{**OBJECT, "box": {"x_min": 1}}]}, "target.objects.0.box.y_min"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_min": True}}]}, "target.objects.0.box.x_min"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_min": "10"}}]}, "target.objects.0.box.x_min"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "x_min": 600, "x_max": 601}}]}, "600 x 600 pixels"),
        (Street(), {"objects": [{**OBJECT, "box": {**BOX, "y_min": -9.5, "y_max": 0}}]}, "target.objects.0.box"),
        (Street(), {"objects": [{**OBJECT, "crowd": "yes"}]}, "target.objects.0.crowd"),
        (Street(), {"objects": [{**OBJECT, "mask": FIELD}]}, "target.objects.0.mask"),
        (Street(), {"objects": [OBJECT] * 1001}, "target.objects"),
        (FakeInstances(), {"objects": [{"class": 0, "mask": FIELD}, {"class": 0, "box": BOX}]}, "target.objects"),
        (FakeInstances(), {"objects": [{"class": 0, "mask": {**FIELD, "size": [6, 4]}}]}, "target.objects.0.mask"),
        *(
            (
                FakeInstances(),
                {"objects": [{"class": 0, "mask": {"size": [4, 6], "counts": bad}}]},
                "target.objects.0.mask",
            )
            for bad in BAD_RUNS[:-1]
            if bad != [24]
        ),
        (FakeSegmenter(), {}, "target"),
        (FakeSegmenter(), {"class_map": "", "masks": []}, "target"),
        (FakeSegmenter(), {"class_map": "no base64!"}, "target.class_map"),
        (FakeSegmenter(), {"class_map": base64.b64encode(b"no image").decode()}, "target.class_map"),
        (FakeSegmenter(), {"class_map": base64.b64encode(png(size=(6, 4))[:-30]).decode()}, "target.class_map"),
        (FakeSegmenter(), {"class_map": base64.b64encode(png(size=(6, 4))).decode()}, "target.class_map"),
        (FakeSegmenter(), {"class_map": encoded(CLASS_MAP.T.copy())}, "target.class_map"),
        (FakeSegmenter(), {"class_map": encoded(CLASS_MAP.astype(np.uint16))}, "target.class_map"),
        (FakeSegmenter(), {"class_map": grey_png(np.zeros((1, 8), np.uint8), 1, (30_000, 30_000))}, "target.class_map"),
        (FakeSegmenter(), {"class_map": encoded(CLASS_MAP + 3)}, "target.class_map"),
        (FakeSegmenter(), {"masks": [{"class": "background", "mask": FIELD}]}, "target.masks.0.class"),
        (
            FakeSegmenter(),
            {"masks": [{"class": 1, "mask": FIELD}, {"class": 2, "mask": {**WOOD, "counts": "1"}}]},
            "target.masks.1.mask",
        ),
    ],
)
async def test_truth_of_the_wrong_shape_is_refused_by_its_member(backend: FakeBackend, target: Any, member: str):
    path = {"classification": "/v1/classify", "detection": "/v1/detect"}.get(backend.entry["task"], "/v1/segment")
    async with gateway(backend, MemoryCache()) as client:
        answer = await post(client, path, png())
        told = await tell(client, answer.headers["x-request-id"], target)
    assert error_of(told) == (422, "invalid_parameters"), told.text
    assert member in told.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"no json", 400, "malformed_request"),
        (b"[]", 400, "malformed_request"),
        (b"{}", 422, "invalid_parameters"),
        (b'{"request_id": "a", "target": 5}', 422, "invalid_parameters"),
        (b'{"request_id": "", "target": {}}', 422, "invalid_parameters"),
        (b'{"request_id": "a", "index": -1, "target": {}}', 422, "invalid_parameters"),
        (b'{"request_id": "a", "index": true, "target": {}}', 422, "invalid_parameters"),
        (b'{"request_id": "a", "target": {}, "image": ""}', 422, "invalid_parameters"),
        (b'{"request_id": "' + b"a" * 3_000_000 + b'"}', 413, "body_too_large"),
        (b'{"request_id": "a", "target": {"objects": [' + b"0," * 300_000 + b"0]}}", 413, "body_too_large"),
        (
            b'{"request_id": "a", "target": {"objects": ' + b"[" * 300_000 + b"]" * 300_000 + b"}}",
            413,
            "body_too_large",
        ),
        (b'{"request_id": "a", "target": {"class": NaN}}', 400, "malformed_request"),
        (b'{"request_id": "\\ud800", "target": {}}', 400, "malformed_request"),
    ],
)
async def test_request_of_the_wrong_shape_is_refused(body: bytes, status: int, code: str):
    async with gateway(Cats(), MemoryCache(), max_body_bytes=2_000_000) as client:
        assert error_of(await client.post("/v1/feedback", content=body)) == (status, code)


async def test_feedback_that_is_wrong_everywhere_is_refused_at_once():
    objects = [{str(number): 0 for number in range(30)}] * 1000
    async with gateway(Street(), MemoryCache()) as client:
        request_id = (await post(client, "/v1/detect", png())).headers["x-request-id"]
        started_at = time.perf_counter()
        told = await tell(client, request_id, {"objects": objects, **objects[0]})
    assert error_of(told) == (422, "invalid_parameters") and len(told.content) < 10_000
    assert time.perf_counter() - started_at < 2
