"""Segmentation through the whole stack: real Ray, real HAProxy, real cache, the bundled weights."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from conftest import jpeg_of
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask
from running import RunningStack, running_stack, write_config
from skimage import data

from services.client import Client, Instance, Region
from services.machine.cpus import count_cpus

pytestmark = pytest.mark.integration

SEMANTIC, INSTANCE = "unet-person", "mask-rcnn-person"
NUCLEI = ("unet-nuclei", "mask-rcnn-nuclei")
MODELS = (SEMANTIC, INSTANCE, *NUCLEI)
CHEST = (300, 200)
"""(row, column) of a place on the astronaut in scikit-image's photo, in pixels."""
LARGE = (3000, 4000)
"""(height, width) of a photo of 12 megapixels."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with the no-op classifier and the bundled segmenters."""
    config = write_config(tmp_path_factory.mktemp("stack"), models=("noop",), segmenters=MODELS)
    with running_stack(config, TAPETUM_MAX_QUEUE_WAIT_S="120") as made:  # many slow images at once are meant here
        yield made


def segment(stack: RunningStack, image: bytes, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
    every = {"content-type": "image/jpeg", "cache-control": "no-store", "x-request-timeout": "120", **(headers or {})}
    return httpx.post(f"{stack.url}/v1/segment", content=image, params=params, headers=every, timeout=150)


def pixels_of(found: dict[str, Any]) -> NDArray[np.bool_]:
    """(H, W) bool, as pycocotools reads an answer."""
    return coco_mask.decode(found["mask"]).astype(bool)


def person_in(answer: dict[str, Any]) -> NDArray[np.bool_]:
    """The pixels of the largest or best person."""
    return pixels_of(next(found for found in answer["predictions"] if found["class_name"] == "person"))


def nuclei() -> tuple[bytes, NDArray[np.bool_]]:
    """49 discs that look like cell nuclei under a fluorescence microscope; and where they are, (392, 392) bool."""
    chance = np.random.default_rng(5)
    rows, columns = np.mgrid[:392, :392]
    light = chance.normal(14, 3, (392, 392))
    covered = np.zeros((392, 392), bool)
    for row, column in np.ndindex(7, 7):
        middle = 28 + 56 * np.array([row, column]) + chance.integers(-8, 9, 2)
        away = np.hypot(rows - middle[0], columns - middle[1])
        radius = chance.uniform(10, 15)
        covered |= away < radius
        light += chance.uniform(90, 160) / (1 + np.exp(away - radius))
    grey = light.clip(0, 255).astype(np.uint8)
    return jpeg_of(np.stack([grey] * 3, 2)), covered


@contextmanager
def watched_memory(process: psutil.Process) -> Iterator[list[int]]:
    """How many bytes a process grows by at most; known once the body is done."""
    before, growth, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            growth[0] = max(growth[0], process.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    yield growth
    done.set()
    thread.join()


@pytest.mark.parametrize("model", [SEMANTIC, INSTANCE])
def test_astronaut_is_found(stack: RunningStack, photos: dict[str, bytes], model: str):
    answer = segment(stack, photos["astronaut"], model=model).json()
    person = person_in(answer)
    assert (answer["model"], answer["image"], person.shape) == (model, {"height": 512, "width": 512}, (512, 512))
    assert person[CHEST]
    assert not person[:, -40:].any(), "the shuttle's model is nobody"
    assert answer["predictions"][0]["area_pixels"] == person.sum()


def test_both_kinds_of_model_see_the_same_person(stack: RunningStack, photos: dict[str, bytes]):
    one, other = (person_in(segment(stack, photos["astronaut"], model=model).json()) for model in (SEMANTIC, INSTANCE))
    assert (one & other).sum() / (one | other).sum() > 0.6


def test_first_model_answers_requests_that_name_none(stack: RunningStack, photos: dict[str, bytes]):
    assert segment(stack, photos["astronaut"]).json()["model"] == SEMANTIC


def test_nuclei_are_found_and_told_apart(stack: RunningStack):
    photo, covered = nuclei()
    (region,) = segment(stack, photo, model=NUCLEI[0]).json()["predictions"]
    found = pixels_of(region)
    assert region["class_name"] == "nucleus"
    assert (found & covered).sum() / (found | covered).sum() > 0.6
    objects = segment(stack, photo, model=NUCLEI[1]).json()["predictions"]
    assert 40 <= len(objects) <= 60
    assert {row["class_name"] for row in objects} == {"nucleus"}


@pytest.mark.parametrize("model", [SEMANTIC, INSTANCE])
def test_formats_show_the_same_pixels(stack: RunningStack, photos: dict[str, bytes], model: str):
    expected = person_in(segment(stack, photos["astronaut"], model=model).json())
    with Client(stack.url, timeout_s=60) as client:
        for mask_format in ("polygon", "png"):
            answer = client.segment(photos["astronaut"], model=model, mask_format=mask_format, classes=["person"])
            best = answer.predictions[0]
            assert isinstance(best, Region if model == SEMANTIC else Instance)
            pixels = best.mask.to_array()
            assert (pixels & expected).sum() / (pixels | expected).sum() >= 0.98
    polygons = segment(stack, photos["astronaut"], model=model, mask_format="polygon").json()["predictions"][0]["mask"]
    drawn = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, 512, 512))).astype(bool)
    assert (drawn & expected).sum() / (drawn | expected).sum() >= 0.98


def test_results_in_cocos_format_hold_the_same_masks(stack: RunningStack, photos: dict[str, bytes]):
    found = segment(stack, photos["astronaut"], model=INSTANCE).json()["predictions"]
    results = segment(stack, photos["astronaut"], model=INSTANCE, format="coco", image_id=7).json()
    assert {(row["image_id"], row["category_id"]) for row in results} == {(7, 1)}
    assert [(row["segmentation"], row["score"]) for row in results] == [(row["mask"], row["score"]) for row in found]
    refused = segment(stack, photos["astronaut"], model=SEMANTIC, format="coco")
    assert (refused.status_code, refused.json()["error"]["details"]) == (422, {"parameter": "format"})


def test_mask_lies_in_the_upright_image(stack: RunningStack, photos: dict[str, bytes]):
    photo = Image.open(io.BytesIO(photos["astronaut"])).crop((0, 0, 512, 400))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the stored rows have to be turned clockwise
    file = io.BytesIO()
    photo.rotate(90, expand=True).save(file, "JPEG", quality=95, exif=exif)
    person = person_in(segment(stack, file.getvalue()).json())
    assert person.shape == (400, 512)
    assert person[CHEST]


def test_image_of_nothing_has_an_empty_list(stack: RunningStack):
    grey = jpeg_of(np.full((300, 500, 3), 128, np.uint8))
    for model in (SEMANTIC, INSTANCE):
        response = segment(stack, grey, model=model)
        assert (response.status_code, response.json()["predictions"]) == (200, [])


def test_bad_image_in_a_list_fails_alone(stack: RunningStack, photos: dict[str, bytes]):
    images = [photos["astronaut"], photos["coffee"][:2000], b"no image", photos["astronaut"]]
    files = [("image", image) for image in images]
    results = httpx.post(f"{stack.url}/v1/segment", files=files, timeout=60).json()["results"]
    codes = [result.get("error", {}).get("code") for result in results]
    assert codes == [None, "broken_image", "unsupported_image", None]
    assert results[0]["predictions"] == results[3]["predictions"]


def test_mixed_shapes_models_and_formats_always_get_their_own_answer(stack: RunningStack):
    """Every image has a size of its own, and so must its masks."""
    chance = random.Random(11)
    cases: list[tuple[tuple[int, int], bytes, dict[str, Any]]] = []
    for n in range(40):
        size = (200 + 3 * n, chance.choice([200, 330, 470]))
        params = {"model": chance.choice([SEMANTIC, INSTANCE]), "max_detections": chance.randint(1, 9)}
        cases.append((size, jpeg_of(data.astronaut(), size), params))

    async def ask(client: httpx.AsyncClient, size: tuple[int, int], image: bytes, params: dict[str, Any]) -> None:
        headers = {"content-type": "image/jpeg", "cache-control": "no-store", "x-request-timeout": "120"}
        response = await client.post("/v1/segment", content=image, params=params, headers=headers)
        answer = response.json()
        assert response.status_code == 200, answer
        assert (answer["model"], answer["image"]) == (params["model"], {"height": size[1], "width": size[0]})
        assert len(answer["predictions"]) <= params["max_detections"]
        for found in answer["predictions"]:
            assert found["mask"]["size"] == [size[1], size[0]]
            assert pixels_of(found).sum() == found["area_pixels"]

    async def main() -> None:
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(base_url=stack.url, limits=limits, timeout=150) as client:
            await asyncio.gather(*(ask(client, *case) for case in cases))

    images = stack.metric("tapetum_images_total", task="segmentation")
    asyncio.run(main())
    assert stack.metric("tapetum_images_total", task="segmentation") - images == len(cases)


def test_requests_that_mean_the_same_are_worked_out_once(stack: RunningStack, photos: dict[str, bytes]):
    headers = {"cache-control": ""}
    segment(stack, photos["rocket"], headers)
    time.sleep(0.2)
    images = stack.metric("tapetum_images_total", model=SEMANTIC)
    same = segment(stack, photos["rocket"], headers, classes="person", score_threshold=0.9, mask_format="rle")
    drawn = segment(stack, photos["rocket"], {**headers, "accept": "image/png"}, mask_format="polygon")
    assert same.json()["cached"] is True
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/png")
    assert Image.open(io.BytesIO(drawn.content)).size == (640, 427)
    assert stack.metric("tapetum_images_total", model=SEMANTIC) == images
    assert segment(stack, photos["rocket"], headers, mask_format="png").json()["cached"] is False


def test_wrong_parameters_are_refused(stack: RunningStack, photos: dict[str, bytes]):
    wrong: list[dict[str, Any]] = [
        {"mask_format": "foo"},
        {"classes": "unicorn"},
        {"classes": "background"},
        {"iou_threshold": 0.5},
    ]
    for params in wrong:
        response = segment(stack, photos["coffee"], **params)
        assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_parameters")
    assert segment(stack, photos["coffee"], classes="background").json()["error"]["details"]["known"] == ["person"]


def test_large_photos_are_segmented_in_bounded_memory(stack: RunningStack):
    """Of 12 megapixels, with every model: what a replica holds grows by less than 500 MB for each of its CPUs."""
    photo = jpeg_of(data.astronaut(), (LARGE[1], LARGE[0]))
    replica = stack.replica("Gateway")
    for model in MODELS:
        with watched_memory(replica) as growth:
            response = segment(stack, photo, model=model)
        answer = response.json()
        assert response.status_code == 200, answer
        assert answer["image"] == {"height": LARGE[0], "width": LARGE[1]}
        assert growth[0] < count_cpus() * 500 * 2**20, model
    assert person_in(segment(stack, photo).json()).shape == LARGE


def test_catalog_tells_what_the_masks_are_of(stack: RunningStack):
    kinds = {}
    for model in MODELS:
        entry = httpx.get(f"{stack.url}/v1/models/{model}").json()
        kinds[model] = (entry["segmentation"], entry["class_names"])
        assert entry["task"] == "segmentation"
        assert entry["accuracy"]
        assert entry["licence"] and entry["weights"]["licence"]
        assert entry["training"]
        assert "folder" not in entry
    assert kinds == {
        SEMANTIC: ("semantic", ["background", "person"]),
        INSTANCE: ("instance", ["person"]),
        NUCLEI[0]: ("semantic", ["background", "nucleus"]),
        NUCLEI[1]: ("instance", ["nucleus"]),
    }
    assert all(httpx.get(f"{stack.url}/readyz").json()["models"].values())


def test_command_saves_what_the_server_found(stack: RunningStack, photos: dict[str, bytes], tmp_path: Path):
    (tmp_path / "astronaut.jpg").write_bytes(photos["astronaut"])
    command = [str(Path(sys.executable).parent / "tapetum"), "segment", "astronaut.jpg", "--json", "--save", "drawn"]
    done = subprocess.run(
        [*command, "--mask-format", "png", "--url", stack.url], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    with Image.open(io.BytesIO(base64.b64decode(line["class_map"]))) as picture:
        class_map = np.asarray(picture)
    assert (class_map == 1).sum() == line["predictions"][0]["area_pixels"]
    with Image.open(tmp_path / line["saved"]) as drawn:
        assert drawn.size == (512, 512)
