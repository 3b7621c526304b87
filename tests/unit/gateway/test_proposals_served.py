"""Proposals through the whole path: client, gateway, replica, the bundled two-stage network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.client import Client, TapetumError
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PHOTO = Path(__file__).parents[3] / "docs" / "images" / "astronaut.jpg"
MODEL, ONE_STAGE = "faster-rcnn-person", "yolo-person"
WOMAN, CORNER = [0.0, 90.0, 345.0, 512.0], [400.0, 0.0, 512.0, 120.0]


@pytest.fixture(scope="module")
def served() -> Iterator[HostedGateway]:
    with hosted_gateway([{"name": "Detector", "task": "detection", "models": [MODEL, ONE_STAGE]}]) as started:
        yield started


@pytest.mark.parametrize("family", ["fast-rcnn", "rcnn"])
def test_of_two_proposals_the_one_around_a_person_is_found_and_refined(served: HostedGateway, family: Any):
    with Client(served.url) as client:
        found = client.detect(PHOTO, model=MODEL, proposals=[CORNER, WOMAN], family=family, score_threshold=0.3)
        again = client.detect(PHOTO, model=MODEL, proposals=[CORNER, WOMAN], family=family, score_threshold=0.3)
    (person,) = found.predictions
    assert person.class_name == "person" and person.score > 0.5
    box = person.box
    assert box.x_max < 400 and box.y_max > 450 and [box.x_min, box.y_min, box.x_max, box.y_max] != WOMAN
    assert not found.cached and again.cached


def test_an_answer_to_proposals_is_drawn_too(served: HostedGateway):
    params = {"model": MODEL, "proposals": str([WOMAN]), "family": "rcnn", "render": "true"}
    response = httpx.post(f"{served.url}/v1/detect", content=PHOTO.read_bytes(), params=params, timeout=60)
    assert response.status_code == 200 and response.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize(
    ("model", "box", "message"),
    [
        (MODEL, [0, 0, 513, 100], "box 0 reaches beyond the image, which is 512 pixels high and 512 wide"),
        (ONE_STAGE, WOMAN, f"{ONE_STAGE} has one stage; proposals need a two-stage detector"),
    ],
)
def test_what_only_the_replica_knows_is_refused_by_it(served: HostedGateway, model: str, box: Any, message: str):
    with Client(served.url) as client, pytest.raises(TapetumError) as caught:
        client.detect(PHOTO, model=model, proposals=[box])
    assert (caught.value.status, caught.value.code) == (422, "invalid_parameters")
    assert message in caught.value.message
