"""Explanations of a real stack, whose explainer starts with the first request."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import httpx
import psutil
import pytest
from PIL import Image

from services.client import Client
from tests.integration.running import RunningStack, running_stack, write_config

pytest.importorskip("captum")
pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE = {"x-request-timeout": "110"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    folder = tmp_path_factory.mktemp("config")
    config = write_config(folder, models=("efficientnet-lite0", "noop"), detectors=("yolo-person",))
    with running_stack(config) as running:
        yield running


def explain(stack: RunningStack, photo: bytes, **parameters: str | int) -> httpx.Response:
    headers = {"content-type": "image/jpeg", **PATIENCE}
    return httpx.post(f"{stack.url}/v1/explain", params=parameters, content=photo, headers=headers, timeout=120)


def explainers(stack: RunningStack) -> list[psutil.Process]:
    family = psutil.Process(stack.process.pid).children(recursive=True)
    return [each for each in family if "Explainer" in " ".join(each.cmdline())]


def test_idle_stack_has_no_explainer(stack: RunningStack):
    assert httpx.get(f"{stack.url}/readyz").status_code == 200
    assert not explainers(stack)


def test_classifier_looks_at_the_cup(stack: RunningStack, photos: dict[str, bytes]):
    response = explain(stack, photos["coffee"])
    found = response.json()
    assert response.status_code == 200, response.text
    assert (found["class_name"], found["layer"], found["method"]) == ("espresso", "head", "gradcam")
    rows = found["heat"]["values"]
    y, x = max(((y, x) for y in range(7) for x in range(7)), key=lambda place: rows[place[0]][place[1]])
    assert 1 <= y <= 5 and 1 <= x <= 5
    assert len(explainers(stack)) == 1


def test_box_of_a_detector_is_explained_and_drawn(stack: RunningStack, photos: dict[str, bytes]):
    found = explain(stack, photos["astronaut"], model="yolo-person", box=0).json()
    detected = httpx.post(
        f"{stack.url}/v1/detect", content=photos["astronaut"], headers={"content-type": "image/jpeg"}, timeout=60
    ).json()["predictions"][0]
    assert found["class_name"] == "person" and found["score"] == pytest.approx(detected["score"], abs=0.1)
    assert found["box"] == pytest.approx(list(detected["box"].values()), abs=8)
    drawn = explain(stack, photos["astronaut"], model="yolo-person", box=0, format="overlay")
    assert drawn.headers["content-type"] == "image/png"
    assert Image.open(BytesIO(drawn.content)).size == (512, 512)


def test_client_gets_the_maps_of_a_layer(stack: RunningStack, photos: dict[str, bytes]):
    with Client(stack.url, timeout_s=110) as client:
        found = client.explain(photos["coffee"], method="features", layer="stages.1")
    assert found.sheet is not None and (found.sheet.channels, found.sheet.shown) == (24, 24)
    assert Image.open(BytesIO(found.sheet.picture)).format == "PNG"


def test_layers_of_a_network_are_those_that_the_library_lists(stack: RunningStack):
    with Client(stack.url, timeout_s=110) as client:
        found = client.layers("yolo-person")
    assert (found.input_shape[0], found.parameters, found.layers[0].kernel) == (3, 3839042, (3, 3))
    assert found.layers[-1].receptive_field is not None and found.layers[-1].receptive_field.size == (1171, 1171)
    assert found.filters is not None and Image.open(BytesIO(found.filters.picture)).format == "PNG"
    refused = httpx.get(f"{stack.url}/v1/models/noop/layers", headers=PATIENCE, timeout=120)
    assert refused.status_code == 422 and "noop has no network" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("parameters", "status", "message"),
    [
        ({"model": "noop"}, 422, "noop has no network"),
        ({"class": "unicorn"}, 422, "has no class"),
        ({"layer": "nowhere"}, 422, "has no layer"),
        ({"box": 0}, 422, "box is for detectors"),
        ({"model": "yolo-person", "box": 99}, 422, "out of range"),
        ({"model": "nothing"}, 404, "is served"),
    ],
)
def test_request_that_cannot_be_met_says_why(
    stack: RunningStack, photos: dict[str, bytes], parameters: dict[str, str], status: int, message: str
):
    response = explain(stack, photos["coffee"], **parameters)
    assert response.status_code == status and message in response.json()["error"]["message"]


def test_cut_off_image_is_refused(stack: RunningStack, photos: dict[str, bytes]):
    response = explain(stack, photos["coffee"][:4000])
    assert response.status_code == 400 and response.json()["error"]["code"] == "broken_image"


def test_explainer_that_dies_is_replaced(stack: RunningStack, photos: dict[str, bytes]):
    assert explain(stack, photos["coffee"]).status_code == 200
    (explainer,) = explainers(stack)
    explainer.kill()
    response = explain(stack, photos["coffee"])
    assert response.status_code == 200, response.text
    assert [each.pid for each in explainers(stack)] != [explainer.pid]
