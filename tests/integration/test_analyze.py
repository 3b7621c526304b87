"""Analyses through the whole stack, in both topologies: the answers are those of the single endpoints."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import jpeg_of
from PIL import Image
from running import RunningStack, running_stack, write_config
from skimage import data

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module", params=["colocated", "split"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    config = write_config(
        tmp_path_factory.mktemp("stack"),
        models=("efficientnet-lite0",),
        detectors=("yolo-person",),
        topology=request.param,
    )
    with running_stack(config) as made:
        yield made


def ask(stack: RunningStack, path: str, image: bytes, headers: dict[str, str] | None = None, **params: Any) -> Any:
    every = {"content-type": "image/jpeg", "cache-control": "no-cache", **(headers or {})}
    return httpx.post(f"{stack.url}{path}", content=image, params=params, headers=every, timeout=60)


def alone(stack: RunningStack, task: str, image: bytes) -> dict[str, Any]:
    answer = ask(stack, f"/v1/{task}", image).json()
    return {name: value for name, value in answer.items() if name not in ("image", "request_id")}


@pytest.mark.parametrize("size", [(512, 512), (2048, 2048)])
def test_answers_are_those_of_the_single_endpoints(stack: RunningStack, size: tuple[int, int]) -> None:
    image = jpeg_of(data.astronaut(), size)
    answer = ask(stack, "/v1/analyze", image).json()
    assert answer["image"] == {"height": size[1], "width": size[0]}
    assert answer["answers"] == {task: alone(stack, task, image) for task in ("classify", "detect")}


def test_a_task_without_a_model_fails_alone(stack: RunningStack, photos: dict[str, bytes]) -> None:
    answers = ask(stack, "/v1/analyze", photos["astronaut"], tasks="detect,segment").json()["answers"]
    assert answers["detect"]["predictions"] and answers["segment"]["error"]["code"] == "unknown_model"


def test_a_broken_image_is_one_error(stack: RunningStack, photos: dict[str, bytes]) -> None:
    response = ask(stack, "/v1/analyze", photos["astronaut"][:3000])
    assert response.status_code == 400 and response.json()["error"]["code"] == "broken_image"


def test_many_at_once_get_their_own_answers(stack: RunningStack, photos: dict[str, bytes]) -> None:
    images = list(photos.values())[:3]
    expected = [alone(stack, "classify", image)["predictions"] for image in images]

    async def send() -> list[Any]:
        async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
            headers = {"content-type": "image/jpeg"}
            asked = [client.post("/v1/analyze", content=image, headers=headers) for image in images * 4]
            return [response.json() for response in await asyncio.gather(*asked)]

    found = [answer["answers"]["classify"]["predictions"] for answer in asyncio.run(send())]
    assert found == expected * 4


def test_all_answers_are_in_one_picture(stack: RunningStack, photos: dict[str, bytes]) -> None:
    response = ask(stack, "/v1/analyze", photos["astronaut"], {"accept": "image/png"})
    assert Image.open(io.BytesIO(response.content)).size == (512, 512)
