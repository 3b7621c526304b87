"""The client against a real HTTP server on loopback, and its retries against scripted answers."""

from __future__ import annotations

import asyncio
import base64
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from services.client import (
    AsyncClient,
    Box,
    Classification,
    ClassPrediction,
    Client,
    Detection,
    Detections,
    TapetumError,
)
from tests.unit.serving import serving

KEY = "s3cret"
RESULT = {
    "image": {"height": 300, "width": 451},
    "predictions": [
        {"class_id": 285, "class_name": "Egyptian cat", "probability": 0.7},
        {"class_id": 281, "class_name": "tabby", "probability": 0.2},
    ],
    "cached": False,
}
HEAD = {"model": "org/cat-net", "version": "3", "request_id": "r1"}
ENTRY = {"name": "org/cat-net", "version": "3", "task": "classification", "licence": "Apache-2.0"}
CAT = Classification(
    "org/cat-net",
    "3",
    (300, 451),
    (ClassPrediction(285, "Egyptian cat", 0.7), ClassPrediction(281, "tabby", 0.2)),
    False,
    "r1",
)


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


def test_a_server_that_is_not_there_is_unreachable_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    started_at = time.monotonic()
    with Client(f"127.0.0.1:{port}", timeout_s=20) as client, pytest.raises(TapetumError) as caught:
        client.ready()
    assert caught.value.code == "unreachable"
    assert caught.value.status is None
    assert time.monotonic() - started_at < 5


def test_a_server_that_never_answers_is_timed_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(address, max_retries=0) as client, pytest.raises(TapetumError) as caught:
            client.classify(b"cat", timeout_s=0.05)
    assert caught.value.code == "timed_out"


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


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an"):
        Client(url)


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="key"):
        Client(api_key="two\nlines")


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(TapetumError("no", "c", 503, {"a": 1}, "r", 2.0)))
    assert (str(error), error.code, error.status, error.details, error.request_id, error.retry_after_s) == (
        ("no", "c", 503, {"a": 1}, "r", 2.0)
    )


class Script:
    """A server that gives these answers one after the other, and keeps what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def busy(retry_after: str | None = None, status: int = 503) -> httpx.Response:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return httpx.Response(status, headers=headers, json={"error": {"code": "overloaded", "message": "busy"}})


def cat() -> httpx.Response:
    return httpx.Response(200, json={**HEAD, **RESULT})


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses of the client, which are noted in place of being slept."""
    noted: list[float] = []
    monkeypatch.setattr("services.client.clients.time.sleep", noted.append)
    return noted


def scripted(script: Script, **options: Any) -> Client:
    return Client("http://server", transport=httpx.MockTransport(script), **options)


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_turned_away_is_sent_again_after_retry_after(pauses: list[float], status: int) -> None:
    script = Script(busy("2", status), busy("3", status), cat())
    with scripted(script) as client:
        assert client.classify(b"cat") == CAT
    assert pauses == [2.0, 3.0]
    assert [request.content for request in script.requests] == [b"cat"] * 3


def test_without_retry_after_pauses_double(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.client.calls.random.uniform", lambda _low, high: high)
    with scripted(Script(busy(), busy(), busy(), cat())) as client:
        client.classify(b"cat")
    assert pauses == pytest.approx([0.1, 0.2, 0.4])


def test_retries_are_bounded(pauses: list[float]) -> None:
    script = Script(*[busy("0")] * 9)
    with scripted(script, max_retries=2) as client, pytest.raises(TapetumError) as caught:
        client.classify(b"cat")
    assert (len(script.requests), len(pauses), caught.value.code) == (3, 2, "overloaded")


def test_a_pause_beyond_the_time_limit_is_not_begun(pauses: list[float]) -> None:
    with scripted(Script(busy("60"))) as client, pytest.raises(TapetumError) as caught:
        client.classify(b"cat", timeout_s=10)
    assert caught.value.retry_after_s == 60
    assert pauses == []


def test_retry_after_may_be_a_date(pauses: list[float]) -> None:
    with scripted(Script(busy("Fri, 31 Dec 1999 23:59:59 GMT"), busy("soon"), cat())) as client:
        assert client.classify(b"cat") == CAT
    assert len(pauses) == 2
    assert max(pauses) <= 0.2


@pytest.mark.parametrize("status", [400, 404, 422, 500, 504])
def test_other_errors_are_not_tried_again(pauses: list[float], status: int) -> None:
    script = Script(busy("1", status))
    with scripted(script) as client, pytest.raises(TapetumError):
        client.classify(b"cat")
    assert pauses == []


def test_a_connection_that_breaks_is_made_again(pauses: list[float]) -> None:
    with scripted(Script(httpx.RemoteProtocolError("closed"), cat())) as client:
        assert client.classify(b"cat") == CAT
    assert len(pauses) == 1


def test_the_server_is_told_what_is_left_of_the_time_limit(pauses: list[float]) -> None:
    script = Script(cat())
    with scripted(script) as client:
        client.classify(b"cat", model="org/cat-net", timeout_s=7)
    request = script.requests[0]
    assert 6 < float(request.headers["x-request-timeout"]) <= 7
    assert dict(request.url.params) == {"model": "org/cat-net"}
    assert pauses == []


async def test_the_asynchronous_client_retries_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[float] = []

    async def note(pause_s: float) -> None:
        noted.append(pause_s)

    without_sleep = SimpleNamespace(sleep=note, to_thread=asyncio.to_thread)
    monkeypatch.setattr("services.client.clients.asyncio", without_sleep)
    transport = httpx.MockTransport(Script(busy("2"), httpx.ReadError("reset"), cat()))
    async with AsyncClient("http://server", transport=transport) as client:
        assert await client.classify(b"cat") == CAT
    assert noted[0] == 2.0
    assert len(noted) == 2


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


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "http_proxy", "HTTP_PROXY", "https_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://127.0.0.1:9", "nonsense://"])
@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "localhost:1"])
def test_server_on_this_machine_is_asked_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str, proxy: str, url: str
):
    monkeypatch.setenv(name, proxy)
    with Client(url, max_retries=0) as client, pytest.raises(TapetumError) as caught:
        client.ready()
    assert caught.value.code == "unreachable"


def test_socks_proxy_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"a SOCKS proxy: install httpx\[socks\], or add example.org to NO_PROXY"):
        Client("http://example.org")


def test_proxy_that_cannot_be_used_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "nonsense://127.0.0.1")
    with pytest.raises(ValueError, match="proxy settings of the environment cannot be used"):
        AsyncClient("http://example.org")
