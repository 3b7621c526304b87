"""The client against a real HTTP server on loopback."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from services.client import AsyncClient, Box, Client, Detection, Detections, TapetumError
from tests.unit.client.cat_answers import CAT, HEAD, RESULT
from tests.unit.serving import serving

KEY = "s3cret"
ENTRY = {"name": "org/cat-net", "version": "3", "task": "classification", "licence": "Apache-2.0"}


def error_answer(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    error = {"code": code, "message": f"it is {code}", "request_id": "r2", "details": {"known": ["a"]}}
    return JSONResponse({"error": error}, status, headers)


async def classify(request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        return error_answer(403, "forbidden")
    if request.headers["content-type"] == "application/json":
        body = await request.json()
        images = [base64.b64decode(image["base64"]) for image in body["images"]]
        return JSONResponse({**HEAD, "results": [result_of(image) for image in images]})
    if await request.body() != b"cat":
        return error_answer(415, "unsupported_image")
    return JSONResponse({**HEAD, **RESULT, "request_id": f"asked: {request.query_params}"})


async def detect(request: Request) -> Response:
    if request.headers["content-type"] == "application/json":
        body = await request.json()
        images = [base64.b64decode(image["base64"]) for image in body.pop("images")]
        return JSONResponse({**HEAD, "request_id": str(body), "results": [objects_of(image) for image in images]})
    return JSONResponse({**HEAD, **objects_of(await request.body()), "request_id": str(request.query_params)})


def objects_of(image: bytes) -> dict[str, Any]:
    if image not in (b"street", b"sky"):
        return result_of(b"dog")
    box = {"x_min": 1.5, "y_min": 2.0, "x_max": 30.25, "y_max": 40.0}
    person = {"box": box, "class_id": 0, "class_name": "person", "score": 0.9}
    found = [person] if image == b"street" else []
    return {"image": {"height": 480, "width": 640}, "predictions": found, "cached": False}


def result_of(image: bytes) -> dict[str, Any]:
    if image == b"cat":
        return RESULT
    return {"error": {"code": "broken_image", "message": "no", "request_id": "r1", "details": {"bytes": 3}}}


async def model_entry(request: Request) -> Response:
    return JSONResponse({**ENTRY, "name": request.path_params["name"]})


async def readiness(_: Request) -> Response:
    return JSONResponse({"ready": False, "models": {"org/cat-net": False}}, 503, {"retry-after": "1"})


async def elsewhere(_: Request) -> Response:
    return PlainTextResponse("Bad Gateway", 502)


APP = Starlette(
    routes=[
        Route("/v1/classify", classify, methods=["POST"]),
        Route("/v1/detect", detect, methods=["POST"]),
        Route("/v1/models", lambda _: JSONResponse({"models": [ENTRY]})),
        Route("/v1/models/{name:path}", model_entry),
        Route("/readyz", readiness),
        Route("/html/v1/models", elsewhere),
        Route("/other/v1/models", lambda _: JSONResponse({"hello": "world"})),
    ]
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a server that speaks Tapetum's protocol."""
    with serving(APP) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, api_key=KEY) as client:
        yield client


def test_one_image_gives_a_typed_answer(client: Client) -> None:
    answer = client.classify(b"cat", top_k=2)
    assert answer.predictions == CAT.predictions
    assert (answer.model, answer.version, answer.image_size, answer.cached) == ("org/cat-net", "3", (300, 451), False)
    assert answer.request_id == "asked: top_k=2"
    assert client.classify(b"cat", augment=True).request_id == "asked: augment=true"
    assert client.detect(b"street", augment=True).request_id == "augment=true"


def test_objects_come_with_their_boxes(client: Client) -> None:
    found = client.detect(b"street", classes=["person", 2], score_threshold=0.5, class_agnostic=True, model=None)
    assert found == Detections(
        "org/cat-net",
        "3",
        (480, 640),
        (Detection(Box(1.5, 2.0, 30.25, 40.0), 0, "person", 0.9),),
        False,
        "classes=person%2C2&score_threshold=0.5&class_agnostic=true",
    )


def test_several_images_of_objects_are_asked_for_in_json(client: Client) -> None:
    street, empty, bad = client.detect_many([b"street", b"sky", b"dog"], classes=("person",), max_detections=3)
    assert isinstance(street, Detections)
    assert isinstance(empty, Detections)
    assert isinstance(bad, TapetumError)
    assert [len(street.predictions), len(empty.predictions), bad.code] == [1, 0, "broken_image"]
    assert street.request_id == "{'classes': ['person'], 'max_detections': 3}"


def test_an_image_may_be_given_by_its_path(client: Client, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    assert client.classify(tmp_path / "cat.jpg").predictions == CAT.predictions


def test_a_path_that_cannot_be_read_is_an_os_error(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client.classify(tmp_path / "dog.jpg")


@pytest.mark.parametrize("count", [1, 3])
def test_several_images_give_a_list_with_errors_in_their_places(client: Client, count: int) -> None:
    *bad, good = client.classify_many([*[b"dog"] * (count - 1), b"cat"])
    assert good == CAT
    assert [(error.code, error.details, error.status) for error in bad if isinstance(error, TapetumError)] == [
        ("broken_image", {"bytes": 3}, None)
    ] * (count - 1)


def test_models_are_listed_and_shown_by_names_with_slashes(client: Client) -> None:
    assert [(model.name, model.task, model.entry["licence"]) for model in client.models()] == [
        ("org/cat-net", "classification", "Apache-2.0")
    ]
    assert client.model("torchvision/resnet50@IMAGENET1K_V1").name == "torchvision/resnet50@IMAGENET1K_V1"


def test_a_server_that_is_not_ready_is_an_answer_and_no_error(client: Client) -> None:
    readiness = client.ready()
    assert not readiness.ready
    assert readiness.models == {"org/cat-net": False}


def test_a_refusal_carries_everything_that_the_server_said(client: Client) -> None:
    with pytest.raises(TapetumError) as caught:
        client.classify(b"dog")
    error = caught.value
    assert (error.status, error.code, str(error)) == (415, "unsupported_image", "it is unsupported_image")
    assert (error.details, error.request_id, error.retry_after_s) == ({"known": ["a"]}, "r2", None)


def test_a_missing_key_is_refused(url: str) -> None:
    with Client(url) as client, pytest.raises(TapetumError) as caught:
        client.classify(b"cat")
    assert caught.value.status == 403


@pytest.mark.parametrize(("path", "code"), [("html", "http_error"), ("other", "unexpected_answer")])
def test_what_is_not_tapetum_is_told_apart(url: str, path: str, code: str) -> None:
    with Client(f"{url}/{path}") as client, pytest.raises(TapetumError) as caught:
        client.models()
    assert caught.value.code == code


async def test_the_asynchronous_client_answers_alike(url: str, tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    async with AsyncClient(url, api_key=KEY) as client:
        assert (await client.classify(tmp_path / "cat.jpg")).predictions == CAT.predictions
        good, bad = await client.classify_many([b"cat", b"dog"])
        assert good == CAT
        assert isinstance(bad, TapetumError)
        assert (await client.detect(b"street", max_detections=1)).predictions[0].box.x_max == 30.25
        (found,) = await client.detect_many([b"sky"])
        assert isinstance(found, Detections)
        assert found.predictions == ()
        assert (await client.models())[0].name == "org/cat-net"
        assert (await client.model("org/cat-net")).version == "3"
        assert not (await client.ready()).ready
        with pytest.raises(TapetumError, match="unsupported_image"):
            await client.classify(b"dog")


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(TapetumError("no", "c", 503, {"a": 1}, "r", 2.0)))
    assert (str(error), error.code, error.status, error.details, error.request_id, error.retry_after_s) == (
        ("no", "c", 503, {"a": 1}, "r", 2.0)
    )


def test_the_client_loads_nothing_heavy() -> None:
    code = "import sys, services.client; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "httpx" in loaded
    assert not {"torch", "ray", "numpy", "fastapi", "pydantic", "redis", "models"} & set(loaded)


def test_headers_of_a_client_go_with_every_request() -> None:
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("cache-control"))
        return httpx.Response(200, json={"models": []})

    with Client(headers={"Cache-Control": "no-store"}, transport=httpx.MockTransport(answer)) as client:
        client.models()
    assert seen == ["no-store"]
