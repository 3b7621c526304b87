"""What the gateway takes for images and parameters, and what it refuses."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway_fakes import FakeBackend, broken_inside, class_id_of, classify, gateway, png


async def test_raw_image_gets_its_answer():
    async with gateway(FakeBackend()) as client:
        response = await classify(client, png(1), params={"top_k": 2}, headers={"x-request-id": "mine"})
    answer = response.json()
    assert response.status_code == 200
    assert answer["model"] == "efficientnet-lite0" and answer["version"] == "1"
    assert answer["image"] == {"height": 2, "width": 3}
    assert [prediction["class_id"] for prediction in answer["predictions"]] == [class_id_of(png(1))] * 2
    assert answer["cached"] is False
    assert answer["request_id"] == response.headers["x-request-id"] == "mine"
    assert "forward;dur=1.50" in response.headers["server-timing"]
    assert response.headers["etag"].startswith('W/"')


async def test_json_multipart_and_raw_mean_the_same():
    image = png(2)
    async with gateway(FakeBackend()) as client:
        raw = await classify(client, image)
        json = await client.post("/v1/classify", json={"image": {"base64": base64.b64encode(image).decode()}})
        form = await client.post("/v1/classify", files={"image": image}, data={"top_k": "5"})
        url = "data:image/png;base64," + base64.b64encode(image).decode()
        data_url = await client.post("/v1/classify", json={"image": {"base64": url}})
    answers = [response.json() for response in (raw, json, form, data_url)]
    assert {response.headers["etag"] for response in (raw, json, form, data_url)} == {raw.headers["etag"]}
    assert all(answer["predictions"] == answers[0]["predictions"] for answer in answers)


async def test_bad_image_in_a_list_gets_its_own_error_and_the_others_their_answers():
    images = [png(3), b"not an image", broken_inside(), png(4)]
    document = {"images": [{"base64": base64.b64encode(image).decode()} for image in images] + [{"base64": "%%%"}]}
    async with gateway(FakeBackend()) as client:
        response = await client.post("/v1/classify", json=document)
        form = await client.post("/v1/classify", files=[("image", image) for image in images])
    results = response.json()["results"]
    assert response.status_code == 200
    assert [result.get("error", {}).get("code") for result in results] == [
        None,
        "unsupported_image",
        "broken_image",
        None,
        "malformed_request",
    ]
    assert results[0]["predictions"][0]["class_id"] == class_id_of(png(3))
    assert results[3]["predictions"][0]["class_id"] == class_id_of(png(4))
    assert [("error" in result) for result in form.json()["results"]] == [False, True, True, False]


@pytest.mark.parametrize(
    ("request_of", "status", "code"),
    [
        ({"content": b"", "headers": {"content-type": "image/png"}}, 400, "empty_image"),
        ({"content": b"plain words", "headers": {"content-type": "image/png"}}, 415, "unsupported_image"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "malformed_request"),
        ({"content": b"\xff\xfe\x00", "headers": {"content-type": "application/json"}}, 400, "malformed_request"),
        ({"content": b"[]", "headers": {"content-type": "application/json"}}, 400, "malformed_request"),
        ({"json": {}}, 422, "invalid_parameters"),
        ({"json": {"images": []}}, 422, "invalid_parameters"),
        ({"json": {"image": {"base64": "AA=="}, "images": []}}, 422, "invalid_parameters"),
        ({"json": {"image": {"base64": 5}}}, 422, "invalid_parameters"),
        ({"json": {"image": dict.fromkeys(map(str, range(2000)))}}, 422, "invalid_parameters"),
        ({"json": {"images": [0] * 300_000}}, 413, "body_too_large"),
        ({"json": {"images": [0] * 100_000}}, 422, "invalid_parameters"),
        ({"json": {"image": {"base64": "A"}}}, 400, "malformed_request"),
        ({"content": png(), "headers": {"content-type": "text/html"}}, 415, "unsupported_content_type"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "malformed_request"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "malformed_request"),
        ({"files": {"photo": png()}}, 422, "invalid_parameters"),
        (
            {"content": png(), "headers": {"content-type": "image/png"}, "params": {"top_k": 0}},
            422,
            "invalid_parameters",
        ),
        (
            {"content": png(), "headers": {"content-type": "image/png"}, "params": {"top_q": 1}},
            422,
            "invalid_parameters",
        ),
        (
            {"content": png(), "headers": {"content-type": "image/png"}, "params": {"model": "nope"}},
            404,
            "unknown_model",
        ),
        ({"content": png(), "headers": {"x-request-timeout": "soon"}}, 422, "invalid_parameters"),
        ({"content": png(), "headers": {"x-request-timeout": "-1"}}, 422, "invalid_parameters"),
        ({"files": {"image": png()}, "data": {"top_k": "1"}, "params": {"top_k": 2}}, 422, "invalid_parameters"),
    ],
)
async def test_bad_request_gets_a_clear_error(request_of: dict[str, Any], status: int, code: str):
    async with gateway(FakeBackend()) as client:
        response = await client.post("/v1/classify", **request_of)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert error["request_id"] == response.headers["x-request-id"]
    assert set(error) == {"code", "message", "request_id", "details"}
    assert "Traceback" not in response.text and "/" + str(Path.home()).strip("/") not in response.text


async def test_unknown_model_is_told_the_known_ones():
    async with gateway(FakeBackend()) as client:
        response = await classify(client, png(), params={"model": "resnet"})
    assert response.json()["error"]["details"]["known"] == ["efficientnet-lite0", "noop"]


async def test_sizes_are_capped_before_anything_is_decoded():
    backend = FakeBackend()
    caps: dict[str, Any] = {
        "max_image_bytes": 500,
        "max_image_pixels": 100,
        "max_images_per_request": 2,
        "max_body_bytes": 4000,
    }
    async with gateway(backend, **caps) as client:
        heavy = await classify(client, b"\xff\xd8" + b"x" * 600)
        many_pixels = await classify(client, png(size=(11, 10)))
        several = await client.post("/v1/classify", files=[("image", png())] * 3)
        body = await client.post("/v1/classify", json={"image": {"base64": "A" * 5000}})

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 100

        streamed = await client.post("/v1/classify", content=chunks(), headers={"content-type": "image/png"})
    statuses = [response.status_code for response in (heavy, many_pixels, body, streamed)]
    assert statuses == [413, 413, 413, 413]
    assert several.status_code in (400, 413)
    assert backend.calls == []


@pytest.mark.parametrize("wrong", [{"image": "aGk="}, {"images": ["aGk="]}, {"image": 3}, {"images": [None]}])
async def test_image_that_is_not_an_object_is_answered_with_its_form(wrong: dict[str, Any]):
    async with gateway(FakeBackend()) as client:
        response = await client.post("/v1/classify", json=wrong)
    assert response.status_code == 422
    assert response.json()["error"]["message"].endswith(': Input should be the file in base64, as {"base64": "…"}')
