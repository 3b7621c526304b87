"""Drawn answers: who gets a picture instead of JSON, that it shows the answer, and that it holds nobody up."""

from __future__ import annotations

import asyncio
import base64
import threading
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image

from models.drawing.palette import color_of
from services.answers.wire import Item
from services.errors import NotAcceptable
from services.gateway import rendering
from services.gateway.negotiation import choose_format
from services.gateway.rendering import RENDER_THREADS
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, broken_inside, classify, gateway, png, post

PHOTO = png(200, size=(640, 480))
JPEG, PNG = {"accept": "image/jpeg"}, {"accept": "image/png"}


class FakeDetector(FakeBackend):
    """Finds a person and a dog, always in the same place."""

    names = ("pet-net",)
    entry = {  # noqa: RUF012  # read only
        **FakeBackend.entry,
        "task": "detection",
        "class_names": ["person", "cat", "dog"],
        "defaults": {},
    }

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        return [
            {
                "box": {"x_min": x, "y_min": 100.0, "x_max": x + 150.0, "y_max": 300.0},
                "class_id": class_id,
                "class_name": self.entry["class_names"][class_id],
                "score": 0.75,
            }
            for class_id, x in ((0, 50.0), (2, 400.0))
        ]


async def detect(client: httpx.AsyncClient, image: bytes = PHOTO, **options: Any) -> httpx.Response:
    return await post(client, "/v1/detect", image, **options)


def opened(response: httpx.Response) -> Image.Image:
    return Image.open(BytesIO(response.content))


# Which answer a request gets


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", None),
        ("*/*", None),
        ("application/json", None),
        ("application/json, text/plain, */*", None),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", None),
        ("text/plain", None),
        ("nonsense", None),
        ("image/png", "png"),
        ("image/jpeg", "jpeg"),
        ("IMAGE/PNG ; Q=0.5", "png"),
        ("image/*", "jpeg"),
        ("image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "jpeg"),
        ("image/png, */*", "png"),
        ("image/png, */*;q=0.1", "png"),
        ("image/jpeg;q=0.8, image/png", "png"),
        ("image/*, image/jpeg;q=0.1", "png"),
        ("image/*, image/jpeg;q=0, image/png;q=0", "406"),
        ("image/jpeg, application/json", None),
        ("image/jpeg, application/json;q=0.9", "jpeg"),
        ("image/png;q=0.2, application/json;q=0.3", None),
        ("image/jpeg;q=0, */*", None),
        ("image/jpeg;q=7, image/png;q=0.5", "png"),
        ("image/webp", "406"),
        ("image/webp, */*;q=0.1", None),
        ("image/webp;q=0, text/html", None),
    ],
)
def test_most_welcome_answer_is_chosen(accept: str, chosen: str | None):
    if chosen == "406":
        with pytest.raises(NotAcceptable):
            choose_format(accept, None)
    else:
        assert choose_format(accept, None) == chosen


@pytest.mark.parametrize(
    ("accept", "render", "chosen"),
    [
        ("", True, "jpeg"),
        ("*/*", True, "jpeg"),
        ("application/json", True, "jpeg"),
        ("image/png", True, "png"),
        ("application/json, image/png;q=0.1", True, "png"),
        ("image/png", False, None),
        ("image/webp", False, None),
    ],
)
def test_parameter_goes_before_the_header(accept: str, render: bool, chosen: str | None):
    assert choose_format(accept, render) == chosen


@pytest.mark.parametrize(("accept", "picture_format"), [("image/jpeg", "JPEG"), ("image/png", "PNG")])
async def test_picture_shows_the_answer_in_place(accept: str, picture_format: str):
    async with gateway(FakeDetector()) as client:
        response = await detect(client, headers={"accept": accept, "x-request-id": "mine"})
    image = opened(response)
    assert (response.status_code, response.headers["content-type"]) == (200, accept)
    assert (image.format, image.size) == (picture_format, (640, 480))
    for x, class_id in ((51, 0), (401, 2)):
        pixel = image.convert("RGB").getpixel((x, 200))
        assert isinstance(pixel, tuple)
        assert max(abs(one - other) for one, other in zip(pixel, color_of(class_id), strict=True)) < 50
    assert response.headers["x-request-id"] == "mine"
    assert response.headers["vary"] == "Accept"
    assert "forward;dur=1.50" in response.headers["server-timing"]
    assert "render;dur=" in response.headers["server-timing"]


async def test_classes_are_drawn_too():
    async with gateway(FakeBackend()) as client:
        response = await classify(client, PHOTO, headers=PNG)
    assert opened(response).size == (640, 480)
    panel = np.asarray(opened(response))[300:, :300].reshape(-1, 3)
    assert len(np.unique(panel, axis=0)) > 50, "text and bars, where the photo is of one colour"


async def test_parameter_asks_for_a_picture_in_query_form_and_json():
    document = {"image": {"base64": base64.b64encode(PHOTO).decode()}, "render": True}
    async with gateway(FakeDetector()) as client:
        query = await detect(client, params={"render": "true"})
        form = await client.post("/v1/detect", files={"image": PHOTO}, data={"render": "true"})
        json = await client.post("/v1/detect", json=document)
        off = await detect(client, params={"render": "false"}, headers=PNG)
    assert [answer.headers["content-type"] for answer in (query, form, json)] == ["image/jpeg"] * 3
    assert query.content == form.content == json.content
    assert off.headers["content-type"] == "application/json"


async def test_json_and_each_picture_have_tags_of_their_own():
    async with gateway(FakeDetector(), MemoryCache()) as client:
        answers = [await detect(client, headers=headers) for headers in ({}, JPEG, PNG)]
        again = [await detect(client, headers=headers) for headers in ({}, JPEG, PNG)]
    tags = [answer.headers["etag"] for answer in answers]
    assert len(set(tags)) == 3
    assert [answer.headers["etag"] for answer in again] == tags
    assert {answer.headers["vary"] for answer in answers} == {"Accept"}


# The one way of all requests


async def test_prediction_is_cached_and_the_picture_is_not():
    backend, cache = FakeDetector(), MemoryCache()
    async with gateway(backend, cache) as client:
        pictures = [await detect(client, headers=JPEG) for _ in range(2)]
        as_json = await detect(client)
    assert pictures[0].content == pictures[1].content
    assert as_json.json()["cached"] is True
    assert len(backend.calls) == 1
    assert [list(orjson.loads(body)) for body in cache.bodies.values()] == [["image", "predictions"]]


async def test_pictures_and_json_of_one_image_in_flight_are_one_prediction():
    backend = FakeDetector()
    backend.takes_s = 0.05
    async with gateway(backend, MemoryCache()) as client:
        answers = await asyncio.gather(*(detect(client, headers=headers) for headers in ({}, JPEG, PNG, JPEG)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(len(call) for call in backend.calls) == 1


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"image": b"plain words"}, 415, "unsupported_image"),
        ({"image": broken_inside()}, 400, "broken_image"),
        ({"params": {"model": "nope"}}, 404, "unknown_model"),
        ({"params": {"score_threshold": 2}}, 422, "invalid_parameters"),
        ({"params": {"render": "perhaps"}}, 422, "invalid_parameters"),
        ({"params": {"format": "coco"}}, 422, "invalid_parameters"),
        ({"headers": {"accept": "image/webp"}}, 406, "not_acceptable"),
    ],
)
async def test_errors_stay_json(options: dict[str, Any], status: int, code: str):
    async with gateway(FakeDetector()) as client:
        response = await detect(client, **{"headers": PNG, **options})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    assert response.json()["error"]["code"] == code


async def test_several_images_make_no_picture():
    backend = FakeDetector()
    images = [{"base64": base64.b64encode(PHOTO).decode()}] * 2
    async with gateway(backend) as client:
        by_header = await client.post("/v1/detect", json={"images": images}, headers=PNG)
        by_parameter = await client.post("/v1/detect", json={"images": images, "render": True})
        as_json = await client.post("/v1/detect", json={"images": images, "render": False}, headers=PNG)
    assert [answer.status_code for answer in (by_header, by_parameter, as_json)] == [406, 406, 200]
    assert "one image" in by_header.json()["error"]["message"]
    assert len(backend.calls) == 1


async def test_photo_that_breaks_only_when_it_is_drawn_is_an_error_of_the_photo():
    truncated = PHOTO[: len(PHOTO) // 2]
    async with gateway(FakeDetector()) as client:
        response = await detect(client, truncated, headers=JPEG)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "broken_image")


# Its cost


class BlockedDraw:
    """Stands for `draw`, and does not end until `gate` is opened."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.most = 0
        self._at_work = 0
        self._lock = threading.Lock()

    def __call__(self, *_: Any, **__: Any) -> Image.Image:
        with self._lock:
            self._at_work += 1
            self.most = max(self.most, self._at_work)
        self.gate.wait(30)
        with self._lock:
            self._at_work -= 1
        return Image.new("RGB", (8, 8))


async def test_drawing_is_bounded_and_holds_nobody_up(monkeypatch: pytest.MonkeyPatch):
    blocked = BlockedDraw()
    monkeypatch.setattr(rendering, "draw", blocked)
    async with gateway(FakeDetector()) as client:
        pictures = asyncio.gather(*(detect(client, headers=JPEG) for _ in range(RENDER_THREADS * 3)))
        while blocked.most < RENDER_THREADS:
            await asyncio.sleep(0.01)
        as_json = await detect(client)
        blocked.gate.set()
        answers = await pictures
    assert as_json.status_code == 200
    assert {answer.status_code for answer in answers} == {200}
    assert blocked.most == RENDER_THREADS


async def test_time_limit_counts_the_drawing(monkeypatch: pytest.MonkeyPatch):
    blocked = BlockedDraw()
    monkeypatch.setattr(rendering, "draw", blocked)
    async with gateway(FakeDetector()) as client:
        response = await detect(client, headers={**JPEG, "x-request-timeout": "0.3"})
        blocked.gate.set()
    assert (response.status_code, response.json()["error"]["code"]) == (504, "out_of_time")


async def test_drawing_is_a_stage_of_the_metrics():
    async with gateway(FakeDetector()) as client:
        await detect(client, headers=JPEG)
        text = (await client.get("/metrics")).text
    labels = 'model="pet-net",stage="render",task="detection",version="1"'
    assert f"tapetum_stage_duration_seconds_count{{{labels}}} " in text


async def test_documentation_shows_pictures_as_answers():
    async with gateway(FakeDetector()) as client:
        document = (await client.get("/openapi.json")).json()
    for path in ("/v1/classify", "/v1/detect"):
        operation = document["paths"][path]["post"]
        assert set(operation["responses"]["200"]["content"]) == {"application/json", "image/jpeg", "image/png"}
        assert "406" in operation["responses"]
        assert "render" in {parameter["name"] for parameter in operation["parameters"]}
