"""Models of a real stack that their first request loads."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.running import RunningStack, running_stack, write_config


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    config = write_config(
        tmp_path_factory.mktemp("config"), models=("noop",), detectors=("yolo-digits", "yolo-person"), gateways=2,
        preload=("noop",),
    )  # fmt: skip
    with running_stack(config) as running:
        yield running


def test_stack_is_ready_without_the_models_that_nobody_has_asked_for(stack: RunningStack):
    assert any("models: noop; on demand: yolo-digits, yolo-person" in line for line in stack.lines)
    assert states(stack) == {"noop": "loaded", "yolo-digits": "cold", "yolo-person": "cold"}


def test_first_request_waits_for_its_model(stack: RunningStack, photos: dict[str, bytes]):
    def detect() -> httpx.Response:
        headers = {"content-type": "image/jpeg"}
        url = f"{stack.url}/v1/detect?model=yolo-person"
        return httpx.post(url, content=photos["astronaut"], headers=headers, timeout=120)

    first = detect()
    assert first.status_code == 200, first.text
    assert first.json()["predictions"][0]["class_name"] == "person"
    assert states(stack) == {"noop": "loaded", "yolo-digits": "cold", "yolo-person": "loaded"}
    assert detect().json()["predictions"] == first.json()["predictions"]


def states(stack: RunningStack) -> dict[str, str]:
    listed = httpx.get(f"{stack.url}/v1/models").json()["versions"]
    return {each["name"]: each["state"] for each in listed}
