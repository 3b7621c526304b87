"""Drawn segmentations and cut-outs over HTTP: who gets which, in what format, and what is refused."""

from __future__ import annotations

import asyncio
import base64
from io import BytesIO
from typing import Any, Literal

import httpx
import numpy as np
import orjson
import pytest
from PIL import Image

from models.drawing.palette import color_of
from models.geometry.masks import Mask
from services.answers.wire import Item
from services.errors import NotAcceptable
from services.gateway.negotiation import choose_format
from tests.unit.gateway_fakes import FakeBackend, MemoryCache, gateway, png, post

PHOTO = png(200, size=(640, 480))
SKY = Mask.from_region(np.ones((200, 640), bool), (0, 0), (480, 640))
CUTOUT: Any = {"render": "cutout"}


class FakeSegmenter(FakeBackend):
    """Finds sky in the upper part of every picture, or nothing."""

    names = ("sky-net",)
    entry = {  # noqa: RUF012  # read only
        **FakeBackend.entry,
        "task": "segmentation",
        "segmentation": "semantic",
        "class_names": ["background", "sky"],
        "defaults": {},
    }
    finds = True

    def predictions_of(self, item: Item) -> list[dict[str, Any]]:
        assert item.parameters["mask_format"] == "rle"
        row = {"class_id": 1, "class_name": "sky", "area_pixels": SKY.area, "fraction": SKY.area / 640 / 480}
        return [{**row, "mask": SKY.to_coco()}] if self.finds else []


class FakeDetector(FakeBackend):
    names = ("pet-net",)
    entry = {**FakeBackend.entry, "task": "detection", "defaults": {}}  # noqa: RUF012  # read only


async def segment(client: httpx.AsyncClient, image: bytes = PHOTO, **options: Any) -> httpx.Response:
    return await post(client, "/v1/segment", image, **options)


def pixels_of(response: httpx.Response) -> np.ndarray[Any, Any]:
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    with Image.open(BytesIO(response.content)) as image:
        return np.asarray(image)


@pytest.mark.parametrize("accept", ["", "*/*", "image/*", "image/png", "image/jpeg, image/png;q=0.1", "nonsense"])
def test_cut_out_is_made_where_png_is_welcome(accept: str):
    assert choose_format(accept, "cutout") == "cutout"


@pytest.mark.parametrize("accept", ["image/jpeg", "application/json", "image/webp", "image/png;q=0, */*", "text/html"])
def test_cut_out_is_refused_where_png_is_not_welcome(accept: str):
    with pytest.raises(NotAcceptable, match="image/png"):
        choose_format(accept, "cutout")


async def test_picture_shows_masks_and_legend_whatever_format_masks_were_to_have():
    async with gateway(FakeSegmenter()) as client:
        response = await segment(client, headers={"accept": "image/png"}, params={"mask_format": "polygon"})
    pixels = pixels_of(response)
    assert pixels.shape == (480, 640, 3)
    assert tuple(pixels[198, 300]) == color_of(1)
    assert np.abs(pixels[100, 500].astype(int) - (0.4 * np.array(color_of(1)) + 0.6 * np.array([200, 0, 0]))).max() < 2
    assert pixels[460, 20:100].max() < 150, "the legend stands in the corner where nothing was found"


async def test_cut_out_is_what_was_found_on_transparent_ground():
    async with gateway(FakeSegmenter()) as client:
        response = await segment(client, params=CUTOUT)
    pixels = pixels_of(response)
    assert np.array_equal(pixels[..., 3] > 0, SKY.to_array())
    assert tuple(pixels[100, 100]) == (200, 0, 0, 255)
    assert not pixels[200:].any()
    assert response.headers["vary"] == "Accept"
    assert "render;dur=" in response.headers["server-timing"]


async def test_nothing_found_is_a_transparent_picture():
    backend = FakeSegmenter()
    backend.finds = False
    async with gateway(backend) as client:
        pixels = pixels_of(await segment(client, params=CUTOUT))
    assert pixels.shape == (480, 640, 4)
    assert not pixels.any()


async def test_cut_out_is_asked_for_in_query_form_and_json():
    document = {"image": {"base64": base64.b64encode(PHOTO).decode()}, **CUTOUT}
    async with gateway(FakeSegmenter()) as client:
        query = await segment(client, params=CUTOUT, headers={"accept": "image/png"})
        form = await client.post("/v1/segment", files={"image": PHOTO}, data=CUTOUT)
        json = await client.post("/v1/segment", json=document)
    assert pixels_of(query).shape == (480, 640, 4)
    assert query.content == form.content == json.content


@pytest.mark.parametrize("accept", ["image/jpeg", "application/json"])
async def test_cut_out_in_another_format_is_refused_before_the_model_is_asked(accept: str):
    backend = FakeSegmenter()
    async with gateway(backend) as client:
        response = await segment(client, params=CUTOUT, headers={"accept": accept})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["details"]) == (
        406,
        "not_acceptable",
        {"available": ["image/png"]},
    )
    assert backend.calls == []


@pytest.mark.parametrize(("path", "backend"), [("/v1/classify", FakeBackend), ("/v1/detect", FakeDetector)])
async def test_tasks_without_masks_have_nothing_to_cut_out(path: str, backend: type[FakeBackend]):
    async with gateway(backend()) as client:
        response = await post(client, path, PHOTO, params=CUTOUT)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (422, "invalid_parameters")
    assert "only a segmentation has masks" in error["message"]


@pytest.mark.parametrize("value", ["perhaps", "Cutout", "2", ""])
async def test_other_values_are_refused_in_one_sentence(value: str):
    async with gateway(FakeSegmenter()) as client:
        response = await segment(client, params={"render": value})
    assert response.status_code == 422
    assert response.json()["error"]["message"] == "render: Input should be true, false or 'cutout'"


async def test_several_images_make_no_cut_out():
    images = [{"base64": base64.b64encode(PHOTO).decode()}] * 2
    async with gateway(FakeSegmenter()) as client:
        response = await client.post("/v1/segment", json={"images": images, **CUTOUT})
    assert response.status_code == 406
    assert "one image" in response.json()["error"]["message"]


async def test_cut_out_drawing_and_json_are_one_prediction_with_tags_of_their_own():
    backend = FakeSegmenter()
    backend.takes_s = 0.05
    asked: list[dict[str, Any]] = [{}, {"params": CUTOUT}, {"headers": {"accept": "image/png"}}]
    async with gateway(backend, MemoryCache()) as client:
        answers = await asyncio.gather(*(segment(client, **options) for options in asked))
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.headers["etag"] for answer in answers}) == 3
    assert sum(len(call) for call in backend.calls) == 1
    assert orjson.loads(answers[0].content)["predictions"][0]["mask"] == SKY.to_coco()


@pytest.mark.parametrize("kind", ["query", "form", "json"])
async def test_documentation_names_the_cut_out(kind: Literal["query", "form", "json"]):
    async with gateway(FakeSegmenter()) as client:
        operation = (await client.get("/openapi.json")).json()["paths"]["/v1/segment"]["post"]
    bodies = operation["requestBody"]["content"]
    schema = {
        "query": next(one["schema"] for one in operation["parameters"] if one["name"] == "render"),
        "form": bodies["multipart/form-data"]["schema"]["properties"]["render"],
        "json": bodies["application/json"]["schema"]["properties"]["render"],
    }[kind]
    assert {"const": "cutout", "type": "string"} in schema["anyOf"]
