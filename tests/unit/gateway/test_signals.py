"""Signals over HTTP: in CSV, in JSON, by the Open Inference Protocol, and what is refused."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from models.datasets.mnist1d import Mnist1d
from services.client import Client
from tests.unit.gateway_fakes import png
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

DATA = Mnist1d(0, 30)
SIGNAL = DATA.signal(13).tolist()
CSV = ",".join(map(str, SIGNAL)).encode()
URL = "/v1/classify?model=mnist-1d"


@pytest.fixture(scope="module")
def stack() -> Iterator[HostedGateway]:
    models = [{"name": "Own", "task": "classification", "models": ["mnist-1d", "mnist"]}]
    with hosted_gateway(models) as started:
        yield started


@pytest.fixture
def client(stack: HostedGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=60) as client:
        yield client


def post_csv(client: httpx.Client, text: bytes, url: str = URL, kind: str = "text/csv") -> httpx.Response:
    return client.post(url, content=text, headers={"content-type": kind})


def test_csv_and_json_give_the_same_answer_from_one_entry_of_the_cache(
    stack: HostedGateway, client: httpx.Client
) -> None:
    first = post_csv(client, CSV).json()
    assert first["image"] == {"height": 1, "width": 40}
    assert first["predictions"][0]["class_name"] == "3"
    images = stack.backends["Own"].images
    column = "\n".join(map(str, SIGNAL)).encode()
    for again in (
        client.post("/v1/classify", json={"signal": SIGNAL, "model": "mnist-1d"}),
        post_csv(client, column),
        post_csv(client, CSV, kind="application/octet-stream"),
        client.post(URL, files={"image": ("signal.csv", CSV)}),
    ):
        assert again.json()["predictions"] == first["predictions"]
        assert again.json()["cached"]
    assert stack.backends["Own"].images == images


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        ({"signal": SIGNAL[:39]}, 400, "invalid_signal"),
        ({"signal": [*SIGNAL, 1.0]}, 400, "invalid_signal"),
        ({"signal": [str(value) for value in SIGNAL]}, 400, "invalid_signal"),
        ({"signal": [None] * 40}, 400, "invalid_signal"),
        ({"signal": []}, 400, "empty_image"),
        ({"signal": "1,2,3"}, 422, "invalid_parameters"),
        ({"signal": SIGNAL, "image": {"base64": b64encode(png()).decode()}}, 422, "invalid_parameters"),
        ({"image": {"base64": b64encode(png()).decode()}}, 400, "invalid_signal"),
    ],
)
def test_json_that_is_no_signal_is_refused(
    client: httpx.Client, document: dict[str, Any], status: int, code: str
) -> None:
    answer = client.post(URL, json=document)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        (CSV + b",1", 400, "invalid_signal"),
        (CSV.rpartition(b",")[0] + b",NaN", 400, "invalid_signal"),
        (b"", 400, "empty_image"),
        (png(), 400, "invalid_signal"),
        (b"1," * 10_000, 413, "image_too_large"),
        (b"1," * 3_000_000, 413, "body_too_large"),
    ],
)
def test_csv_that_is_no_signal_is_refused(client: httpx.Client, text: bytes, status: int, code: str) -> None:
    answer = post_csv(client, text)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "\n" not in answer.json()["error"]["message"]


def test_nan_in_json_is_not_json(client: httpx.Client) -> None:
    answer = post_csv(client, b'{"signal": [NaN]}', kind="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_request")


def test_a_signal_is_no_image(client: httpx.Client) -> None:
    answer = post_csv(client, CSV, "/v1/classify?model=mnist")
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_image")
    assert "this is a signal, numbers as text, and the model takes images" in answer.json()["error"]["message"]


def test_a_digit_of_28_pixels_is_answered_beside_it(client: httpx.Client) -> None:
    answer = client.post("/v1/classify?model=mnist", content=png(0, (28, 28)), headers={"content-type": "image/png"})
    assert answer.json()["image"] == {"height": 28, "width": 28}


def test_a_drawn_signal_is_a_line_plot_with_its_classes(client: httpx.Client) -> None:
    answer = post_csv(client, CSV, f"{URL}&render=true")
    assert answer.headers["content-type"].startswith("image/")
    assert Image.open(BytesIO(answer.content)).size == (480, 240)


def test_the_open_inference_protocol_takes_the_text_of_signals(client: httpx.Client) -> None:
    texts = [b64encode(DATA.load(index).image).decode() for index in (3, 7)]
    inputs = [{"name": "image", "shape": [2], "datatype": "BYTES", "data": texts}]
    answer = client.post("/v2/models/mnist-1d/infer", json={"inputs": inputs}).json()
    outputs = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}
    assert [outputs["class_ids"][0], outputs["class_ids"][5]] == [3, 7]  # the best of five classes each


def test_the_client_sends_a_signal_as_its_text(stack: HostedGateway) -> None:
    with Client(stack.url) as client:
        assert client.classify(CSV, model="mnist-1d").predictions[0].class_name == "3"


def test_feedback_on_a_signal_counts(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", json={"signal": DATA.signal(4).tolist(), "model": "mnist-1d"}).json()
    given = client.post("/v1/feedback", json={"request_id": answer["request_id"], "target": {"class": "4"}})
    assert (given.status_code, given.json()["figures"]) == (200, {"top1": 1.0})


def test_the_documentation_of_classify_names_signals(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert "text/csv" in paths["/v1/classify"]["post"]["requestBody"]["content"]
