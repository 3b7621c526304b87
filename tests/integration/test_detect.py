"""Detection through the whole stack: real Ray, real HAProxy, real cache, the bundled weights."""

from __future__ import annotations

import asyncio
import io
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import jpeg_of
from PIL import Image
from running import RunningStack, running_stack, write_config
from skimage import data

from tests.checkout import DOCS

pytestmark = pytest.mark.integration

MODEL = "yolo-person"
CHEST = (200, 300)
"""(x, y) of a place on the astronaut in scikit-image's photo, in pixels."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with the no-op classifier and the person detector."""
    config = write_config(tmp_path_factory.mktemp("stack"), models=("noop",), detectors=(MODEL,))
    with running_stack(config) as made:
        yield made


def detect(stack: RunningStack, image: bytes, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
    every = {"content-type": "image/jpeg", "cache-control": "no-store", **(headers or {})}
    return httpx.post(f"{stack.url}/v1/detect", content=image, params=params, headers=every, timeout=60)


def grey(height: int, width: int) -> bytes:
    """A photo of nothing."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (128, 128, 128)).save(file, "JPEG")
    return file.getvalue()


def test_astronaut_is_found(stack: RunningStack, photos: dict[str, bytes]):
    answer = detect(stack, photos["astronaut"]).json()
    best = answer["predictions"][0]
    box = best["box"]
    assert (answer["model"], answer["image"]) == (MODEL, {"height": 512, "width": 512})
    assert best["class_name"] == "person"
    assert box["x_min"] < CHEST[0] < box["x_max"]
    assert box["y_min"] < CHEST[1] < box["y_max"]


def test_document_shows_the_answer_that_its_command_gets(stack: RunningStack):
    text = (DOCS / "detection.md").read_text(encoding="utf-8")
    shown = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert shown
    expected = json.loads(shown[1])
    photo = DOCS / "images" / "astronaut.jpg"
    answer = detect(stack, photo.read_bytes(), score_threshold=0.5).json()
    assert answer.keys() == expected.keys()
    assert {**answer, "predictions": 0, "request_id": 0} == {**expected, "predictions": 0, "request_id": 0}
    for got, wanted in zip(answer["predictions"], expected["predictions"], strict=True):
        assert got["class_name"] == wanted["class_name"]
        assert got["score"] == pytest.approx(wanted["score"], abs=0.05)
        assert list(got["box"].values()) == pytest.approx(list(wanted["box"].values()), abs=8)


def test_box_is_in_pixels_of_the_upright_image(stack: RunningStack, photos: dict[str, bytes]):
    photo = Image.open(io.BytesIO(photos["astronaut"]))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the stored rows have to be turned clockwise
    file = io.BytesIO()
    photo.rotate(90, expand=True).save(file, "JPEG", quality=95, exif=exif)
    best = detect(stack, file.getvalue()).json()["predictions"][0]["box"]
    assert best["x_min"] < CHEST[0] < best["x_max"]
    assert best["y_min"] < CHEST[1] < best["y_max"]


def test_photo_of_nothing_has_an_empty_list(stack: RunningStack):
    response = detect(stack, grey(300, 500))
    assert (response.status_code, response.json()["predictions"]) == (200, [])
    assert detect(stack, grey(300, 500), format="coco").json() == []


def test_bad_image_in_a_list_fails_alone(stack: RunningStack, photos: dict[str, bytes]):
    images = [photos["astronaut"], photos["coffee"][:2000], grey(1, 1), b"no image", photos["astronaut"]]
    files = [("image", image) for image in images]
    results = httpx.post(f"{stack.url}/v1/detect", files=files, timeout=60).json()["results"]
    assert [result.get("error", {}).get("code") for result in results] == [
        None,
        "broken_image",
        None,
        "unsupported_image",
        None,
    ]
    assert results[0]["predictions"] == results[4]["predictions"]


def test_mixed_shapes_and_parameters_always_get_their_own_answer(stack: RunningStack):
    """Every image has a size of its own, and so must its answer; batches form among inputs of one shape."""
    chance = random.Random(11)
    cases = []
    for n in range(80):
        size = (200 + 3 * n, chance.choice([200, 330, 470]))
        params = {"score_threshold": chance.choice([0.001, 0.3]), "max_detections": chance.randint(1, 9)}
        cases.append((size, jpeg_of(data.astronaut(), size), params))

    async def ask(client: httpx.AsyncClient, size: tuple[int, int], image: bytes, params: dict[str, Any]) -> None:
        headers = {"content-type": "image/jpeg", "cache-control": "no-store"}
        response = await client.post("/v1/detect", content=image, params=params, headers=headers)
        answer = response.json()
        assert response.status_code == 200, answer
        assert answer["image"] == {"height": size[1], "width": size[0]}
        assert len(answer["predictions"]) <= params["max_detections"]
        for found in answer["predictions"]:
            assert found["score"] >= params["score_threshold"] - 1e-6
            assert 0 <= found["box"]["x_min"] <= found["box"]["x_max"] <= size[0]
            assert 0 <= found["box"]["y_min"] <= found["box"]["y_max"] <= size[1]

    async def main() -> None:
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(base_url=stack.url, limits=limits, timeout=120) as client:
            await asyncio.gather(*(ask(client, *case) for case in cases))

    images, runs = (
        stack.metric("tapetum_images_total", model=MODEL),
        stack.metric("tapetum_executions_total", model=MODEL),
    )
    asyncio.run(main())
    images = stack.metric("tapetum_images_total", model=MODEL) - images
    runs = stack.metric("tapetum_executions_total", model=MODEL) - runs
    assert images == len(cases)
    assert runs < images, "inputs of one shape share a run"


def test_requests_that_mean_the_same_are_worked_out_once(stack: RunningStack, photos: dict[str, bytes]):
    headers = {"cache-control": ""}
    detect(stack, photos["rocket"], headers)
    time.sleep(0.2)
    images = stack.metric("tapetum_images_total", model=MODEL)
    defaults = httpx.get(f"{stack.url}/v1/models/{MODEL}").json()["defaults"]
    by_name = detect(stack, photos["rocket"], headers, classes="person", **defaults)
    coco = detect(stack, photos["rocket"], headers, format="coco", image_id=9)
    drawn = detect(stack, photos["rocket"], {**headers, "accept": "image/png"})
    assert by_name.json()["cached"] is True
    assert (coco.status_code, drawn.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(drawn.content)).size == (640, 427)
    assert stack.metric("tapetum_images_total", model=MODEL) == images


def test_unknown_class_is_refused(stack: RunningStack, photos: dict[str, bytes]):
    response = detect(stack, photos["coffee"], classes="unicorn")
    assert response.status_code == 422
    assert response.json()["error"]["details"]["known"] == ["person"]


def test_catalog_tells_how_good_the_model_is_and_how_it_was_made(stack: RunningStack):
    entry = httpx.get(f"{stack.url}/v1/models/{MODEL}").json()
    assert {figure["metric"] for figure in entry["accuracy"]} >= {"map", "map_50"}
    assert entry["class_names"] == ["person"]
    assert entry["licence"] and entry["weights"]["licence"]
    assert entry["training"]
    assert "folder" not in entry


def test_both_tasks_are_ready_side_by_side(stack: RunningStack, photos: dict[str, bytes]):
    assert httpx.get(f"{stack.url}/readyz").json()["models"] == {"noop": True, MODEL: True}
    wrong = detect(stack, photos["coffee"], model="noop")
    assert (wrong.status_code, wrong.json()["error"]["details"]) == (422, {"task": "classification"})


def test_command_saves_what_the_server_found(stack: RunningStack, photos: dict[str, bytes], tmp_path: Path):
    (tmp_path / "astronaut.jpg").write_bytes(photos["astronaut"])
    command = [str(Path(sys.executable).parent / "tapetum"), "detect", "astronaut.jpg", "--json", "--save", "drawn"]
    done = subprocess.run([*command, "--url", stack.url], cwd=tmp_path, capture_output=True, text=True, check=True)
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert line["predictions"] == detect(stack, photos["astronaut"]).json()["predictions"]
    with Image.open(tmp_path / line["saved"]) as drawn:
        assert drawn.size == (512, 512)
