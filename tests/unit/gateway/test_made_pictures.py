"""Stylizers and generators behind a real gateway: images as answers, their formats, limits and refusals."""

from __future__ import annotations

import asyncio
import io
import re
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from models.catalog import loading
from models.catalog.lookup import find
from models.errors import CannotExplain, ExportError
from models.explaining.plain_model import require_network
from models.export.captured_network import capture
from services.client import AsyncClient, Client, Pictures, TapetumError
from services.evaluation.kinds import KINDS as evaluation_kinds
from services.settings import Settings
from tests.checkout import DOCS
from tests.unit.hosted_gateway import HostedGateway, hosted_gateway
from tests.unit.picture_models import GENERATOR, STYLIZER, TinyStylizer, write_picture_models

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

DEPLOYMENTS = [
    {"name": "Classifier", "task": "classification", "models": ["mnist"]},
    {"name": "Stylizer", "task": "stylization", "models": [STYLIZER]},
    {"name": "Generator", "task": "generation", "models": [GENERATOR]},
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedGateway]:
    """A mixed configuration: a default model and both experimental kinds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(loading.LOADERS, "stylization", TinyStylizer)
        patch.setenv("TAPETUM_CATALOG", str(write_picture_models(tmp_path_factory.mktemp("catalog"))))
        with hosted_gateway(DEPLOYMENTS, Settings(feedback_ttl_s=60)) as gateway:
            yield gateway


def photo(seed: int = 0, size: tuple[int, int] = (40, 30)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(file: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status_code, error["code"], error["message"]


def test_a_stylized_photo_is_a_png_of_its_size_unless_another_format_is_asked_for(stack: HostedGateway):
    response = httpx.post(f"{stack.url}/v1/stylize", content=photo(), headers={"x-request-id": "style-1"})
    assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
    assert pixels_of(response.content).shape == (30, 40, 3)
    assert response.headers["x-tapetum-model"] == f"{STYLIZER}@1"
    assert response.headers["x-tapetum-cached"] == "false"
    assert response.headers["x-request-id"] == "style-1"
    assert {"forward", "render", "total"} <= {
        part.partition(";")[0] for part in response.headers["server-timing"].split(", ")
    }
    assert response.headers["vary"] == "Accept"


@pytest.mark.parametrize("path", ["/v1/stylize", "/v1/generate"])
@pytest.mark.parametrize(
    ("accept", "query", "media_type"),
    [
        ("image/webp", "", "image/webp"),
        ("image/jpeg;q=0.9, image/png;q=0.1", "", "image/jpeg"),
        ("*/*", "", "image/png"),
        ("application/json", "", "application/json"),
        ("application/json", "?format=webp", "image/webp"),
        ("image/png", "?format=json", "application/json"),
    ],
)
def test_the_format_is_that_of_the_parameter_or_of_accept(
    stack: HostedGateway, path: str, accept: str, query: str, media_type: str
):
    content = photo() if path == "/v1/stylize" else b""
    response = httpx.post(f"{stack.url}{path}{query}", content=content, headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, media_type)


@pytest.mark.parametrize("path", ["/v1/stylize", "/v1/generate"])
def test_a_format_that_is_not_made_is_refused(stack: HostedGateway, path: str):
    content = photo() if path == "/v1/stylize" else b""
    response = httpx.post(f"{stack.url}{path}", content=content, headers={"accept": "image/avif, text/html"})
    assert error_of(response)[:2] == (406, "not_acceptable")
    assert "image/webp" in response.json()["error"]["details"]["available"]


def test_strength_0_is_the_photo_itself(stack: HostedGateway):
    file = photo(1)
    with Client(stack.url) as client:
        plain, painted = client.stylize(file, strength=0.0), client.stylize(file)
    assert np.array_equal(np.asarray(plain.to_image()), pixels_of(file))
    assert not np.array_equal(pixels_of(painted.png), pixels_of(file))


def test_equal_parameters_give_equal_images_from_the_cache_and_each_image_stands_for_itself(stack: HostedGateway):
    with Client(stack.url) as client:
        four = client.generate("7", seed=3, count=4)
        again = client.generate(2, seed=3, count=4)
        one = client.generate("7", seed=3)
    assert (four.cached, again.cached, four.image_size) == (False, True, (28, 28))
    assert four.predictions == again.predictions
    assert {(made.class_id, made.class_name) for made in four.predictions} == {(2, "7")}
    assert one.predictions[0] == four.predictions[0]
    assert len({made.png for made in four.predictions}) == 4
    assert Pictures.parse({**BODY, **four.to_json()}).predictions == four.predictions


BODY = {"model": GENERATOR, "version": "1", "cached": False, "request_id": "1"}


def test_several_images_are_one_grid_and_singly_in_json(stack: HostedGateway):
    url = f"{stack.url}/v1/generate?seed=5&count=5"
    grid = pixels_of(httpx.post(url).content)
    rows = httpx.post(url, headers={"accept": "application/json"}).json()["predictions"]
    assert grid.shape == (2 * 28, 3 * 28, 3)
    for place, row in enumerate(rows):
        top, left = 28 * (place // 3), 28 * (place % 3)
        assert np.array_equal(grid[top : top + 28, left : left + 28], pixels_of(b64decode(row["png"])))


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("?class=one&seed=9", {}),
        ("", {"json": {"class": 1, "seed": 9}}),
        ("?seed=9", {"data": {"class": "one"}}),
        ("?class=1&seed=9", {"content": b"", "headers": {"content-type": "image/jpeg"}}),
    ],
)
def test_parameters_come_in_the_query_a_form_or_json(stack: HostedGateway, query: str, sent: dict[str, Any]):
    expected = httpx.post(f"{stack.url}/v1/generate?class=one&seed=9")
    response = httpx.post(f"{stack.url}/v1/generate{query}", **sent)
    assert response.status_code == 200
    assert response.content == expected.content
    assert response.headers["etag"] == expected.headers["etag"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("seed=-1", "seed"),
        (f"seed={2**53}", "seed"),
        (f"seed={'9' * 5000}", "seed"),
        ("count=65", "count"),
        ("count=0", "count"),
        ("truncation=0", "truncation"),
        ("truncation=nan", "truncation"),
        ("class=3", "3"),
        ("class=-1", "-1"),
        ("class=eight", "zero, one, 7"),
        ("class=", "class"),
        ("augment=true", "augment"),
        ("render=true", "render"),
        ("seed=1&seed=2", "twice"),
    ],
)
def test_wrong_parameters_are_refused_by_name(stack: HostedGateway, query: str, named: str):
    status, code, message = error_of(httpx.post(f"{stack.url}/v1/generate?{query}"))
    assert (status, code) == (422, "invalid_parameters")
    assert named in message


@pytest.mark.parametrize("path", ["/v1/stylize?augment=true", "/v1/stylize?strength=2", "/v1/stylize?top_k=1"])
def test_parameters_of_other_kinds_are_refused(stack: HostedGateway, path: str):
    assert error_of(httpx.post(f"{stack.url}{path}", content=photo()))[1] == "invalid_parameters"


def test_an_image_for_a_generator_and_large_or_broken_bodies_are_refused(stack: HostedGateway):
    url = f"{stack.url}/v1/generate"
    assert error_of(httpx.post(url, content=photo()))[:2] == (415, "unsupported_content_type")
    assert error_of(httpx.post(url, files={"image": photo()}))[:2] == (415, "unsupported_content_type")
    big = httpx.post(url, content=photo(0, (400, 300)), headers={"content-type": "image/png"})
    assert error_of(big)[:2] == (415, "unsupported_content_type")
    large = httpx.post(url, content=b" " * 70_000, headers={"content-type": "application/json"})
    assert error_of(large)[:2] == (413, "body_too_large")
    broken = httpx.post(url, content=b'{"seed":', headers={"content-type": "application/json"})
    assert error_of(broken)[:2] == (400, "malformed_request")


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "empty_image"), (b"no image", "unsupported_image"), (photo()[:99], "broken_image")],
    ids=["empty", "text", "cut short"],
)
def test_a_broken_photo_is_an_error_as_anywhere(stack: HostedGateway, content: bytes, code: str):
    assert error_of(httpx.post(f"{stack.url}/v1/stylize", content=content))[1] == code


def test_several_photos_are_a_list_in_json_and_no_image(stack: HostedGateway):
    with Client(stack.url) as client:
        results = client.predict_many(client_endpoint(), [photo(2), b"none", photo(3)])
    assert [isinstance(result, TapetumError) for result in results] == [False, True, False]
    files = [("image", photo(2)), ("image", photo(3))]
    refused = httpx.post(f"{stack.url}/v1/stylize", files=files, headers={"accept": "image/png"})
    assert error_of(refused)[:2] == (406, "not_acceptable")


def client_endpoint() -> Any:
    from services.client.calls import STYLIZE

    return STYLIZE


def test_equal_requests_at_the_same_time_are_one_image_for_the_model(stack: HostedGateway):
    before = stack.backends["Generator"].images
    with ThreadPoolExecutor(8) as pool, Client(stack.url) as client:
        answers = list(pool.map(lambda _: client.generate(0, seed=77, count=64).predictions, range(8)))
    assert all(answer == answers[0] for answer in answers)
    assert stack.backends["Generator"].images - before == 1


def test_the_asynchronous_client_asks_for_both(stack: HostedGateway):
    async def ask() -> tuple[Pictures, Pictures]:
        async with AsyncClient(stack.url) as client:
            return await client.stylize(photo(4)), await client.generate(seed=4)

    stylized, generated = asyncio.run(ask())
    assert (stylized.image_size, generated.image_size) == ((30, 40), (28, 28))


def test_feedback_is_refused_and_nothing_counts_for_accuracy_or_drift(stack: HostedGateway):
    with Client(stack.url) as client:
        answer = client.generate(seed=12)
        with pytest.raises(TapetumError, match="no ground truth"):
            client.feedback(answer.request_id, {"class": 1})
        figures = {one.name: (one.offline, one.live, one.drift) for one in client.accuracy()}
        assert figures[GENERATOR] == figures[STYLIZER] == ((), None, None)
        with pytest.raises(TapetumError, match=f"{STYLIZER} is a model for stylization"):
            client.classify(photo(), model=STYLIZER)
        assert client.classify(photo()).model == "mnist"


def test_the_example_of_the_clients_page_runs(
    stack: HostedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(photo())
    page = (DOCS / "client.md").read_text()
    (example,) = re.findall(r"^```python\n([^`]*client\.generate[^`]*)^```", page, re.MULTILINE)
    exec(example.replace("http://localhost:8000", stack.url), {})
    shapes = [pixels_of(Path(name).read_bytes()).shape for name in ("styled.jpg", "seven-0.png", "seven-2.png")]
    assert shapes == [(30, 40, 3), (28, 28, 3), (28, 28, 3)]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("name", [STYLIZER, GENERATOR])
def test_they_are_not_explained_exported_or_evaluated(name: str):
    with pytest.raises(CannotExplain, match="only models that predict can be explained"):
        require_network(find(name))
    with pytest.raises(ExportError, match="not exported or quantized"):
        capture(name)
    assert find(name).kind not in evaluation_kinds


def test_documents_and_lists_of_models_say_experimental(stack: HostedGateway):
    paths = httpx.get(f"{stack.url}/openapi.json").json()["paths"]
    for path in ("/v1/stylize", "/v1/generate"):
        described = paths[path]["post"]
        assert described["x-experimental"] is True
        assert (described["tags"], "experimental" in described["summary"]) == (["experimental"], True)
        assert set(described["responses"]["200"]["content"]) == {
            "application/json",
            "image/png",
            "image/jpeg",
            "image/webp",
        }
    assert "x-experimental" not in paths["/v1/classify"]["post"]
    assert not paths["/v1/generate"]["post"]["requestBody"]["required"]
    models = httpx.get(f"{stack.url}/v1/models").json()["models"]
    assert {model["name"]: model.get("experimental", False) for model in models} == {
        "mnist": False,
        STYLIZER: True,
        GENERATOR: True,
    }


def test_metrics_have_their_tasks(stack: HostedGateway):
    httpx.post(f"{stack.url}/v1/generate?seed=99")
    text = httpx.get(f"{stack.url}/metrics").text
    assert f'model="{GENERATOR}"' in text
    assert 'task="generation"' in text


def test_the_open_inference_protocol_returns_pixels(stack: HostedGateway):
    infer = f"{stack.url}/v2/models/{GENERATOR}/infer"
    body = {"inputs": [], "parameters": {"class": "one", "seed": 5, "count": 3}}
    (output,) = httpx.post(infer, json=body).json()["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("images", "UINT8", [3, 28, 28, 3])
    with Client(stack.url) as client:
        first = client.generate("one", seed=5).to_image()
    assert np.array_equal(np.array(output["data"][: 28 * 28 * 3], np.uint8).reshape(28, 28, 3), np.asarray(first))
    metadata = httpx.get(f"{stack.url}/v2/models/{GENERATOR}").json()
    assert (metadata["inputs"], metadata["outputs"][0]["shape"]) == ([], [-1, -1, -1, 3])
    pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": [0] * 12}
    refused = httpx.post(infer, json={"inputs": [pixels]})
    assert (refused.status_code, "takes no inputs" in refused.text) == (400, True)
    stylized = httpx.post(f"{stack.url}/v2/models/{STYLIZER}/infer", json={"inputs": [pixels]}).json()
    assert stylized["outputs"][0]["shape"] == [1, 2, 2, 3]
