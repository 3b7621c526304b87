"""`tapetum classify --url` and the client against the real gateway, with a backend that needs no model."""

from __future__ import annotations

import io
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image
from pydantic import SecretStr
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from services.cli import app
from services.client import Classification, Client, TapetumError
from services.gateway.app import create_app
from services.gateway.registry import Registry
from services.settings import Settings
from services.topology import check_topology
from services.wire import Item, Outcome
from tests.unit.serving import serving

KEY = "s3cret"
MODEL = "efficientnet-lite0"
DOCS = Path(__file__).parents[2] / "docs"


class WidthBackend:
    """Answers with the width of the image as its class id."""

    async def predict(self, items: list[Item]) -> list[Outcome]:
        return [self._answer(item) for item in items]

    async def describe(self) -> list[dict[str, Any]]:
        entry = {"name": MODEL, "version": "1", "task": "classification"}
        return [{**entry, "weights_digest": "d", "runtime": {}, "class_names": ["a", "b"]}]

    def _answer(self, item: Item) -> Outcome:
        width, height = Image.open(io.BytesIO(item.image)).size
        classes = [{"class_id": width, "class_name": f"w{width}", "probability": 0.5}] * item.parameters["top_k"]
        return Outcome(orjson.dumps({"image": {"height": height, "width": width}, "predictions": classes}), None, {})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a gateway that asks for `KEY` and is ready."""
    deployment = {"name": "Classifier", "task": "classification", "models": [MODEL]}
    registry = Registry(check_topology({"deployments": [deployment]}), {"Classifier": WidthBackend()})
    app = create_app(Settings(api_keys=(SecretStr(KEY),)), registry, None)
    with capture_logs(), serving(app) as url, Client(url) as client:
        while not client.ready().ready:
            time.sleep(0.01)
        yield url


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Forty images, each wider than the last."""
    paths = [tmp_path / f"{width:02}.png" for width in range(1, 41)]
    for width, path in enumerate(paths, 1):
        Image.new("RGB", (width, 7)).save(path)
    return [str(path) for path in paths]


def tapetum(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["classify", *arguments])


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_client_understands_the_gateway(url: str, photos: list[str]) -> None:
    with Client(url, api_key=KEY) as client:
        answer = client.classify(Path(photos[8]), top_k=2)
        first, second, third = client.classify_many([Path(photos[3]), b"no image", Path(photos[4])], model=MODEL)
        assert [model.name for model in client.models()] == [MODEL]
        assert client.model(MODEL).entry["class_names"] == ["a", "b"]
        with pytest.raises(TapetumError) as unknown:
            client.model("nope")
    assert (answer.model, answer.version, answer.image_size, answer.cached) == (MODEL, "1", (7, 9), False)
    assert [(item.class_id, item.class_name) for item in answer.predictions] == [(9, "w9"), (9, "w9")]
    assert isinstance(first, Classification)
    assert isinstance(third, Classification)
    assert (first.image_size, third.image_size) == ((7, 4), (7, 5))
    assert isinstance(second, TapetumError)
    assert second.code == "unsupported_image"
    assert (unknown.value.status, unknown.value.code, unknown.value.details) == (
        404,
        "unknown_model",
        {"known": [MODEL]},
    )


def test_the_examples_of_its_page_run(url: str, photos: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", (DOCS / "client.md").read_text(), re.DOTALL | re.MULTILINE)
    for example in examples:
        code = example.replace('"http://localhost:8000"', f'"{url}", api_key="{KEY}"')
        exec(code.replace("photo.jpg", photos[2]), {})
    assert capsys.readouterr().out == "50.0% w3\n" * 3 + "w3\nfailed: unsupported_image\n"


def test_many_images_are_answered_in_their_order(url: str, photos: list[str]) -> None:
    result = tapetum(*photos, "--url", url, "--api-key", KEY, "--top-k", "1", "--json")
    assert result.exit_code == 0
    assert [(line["path"], line["predictions"][0]["class_id"]) for line in lines_of(result)] == [
        (path, width) for width, path in enumerate(photos, 1)
    ]


def test_a_bad_image_fails_alone(url: str, photos: list[str], tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no image")
    arguments = [photos[0], str(tmp_path / "notes.jpg"), str(tmp_path / "gone.jpg"), photos[1]]
    result = tapetum(*arguments, "--url", url, "--api-key", KEY, "--json")
    assert result.exit_code == 1
    assert [line.get("error", {}).get("code") for line in lines_of(result)] == [
        None,
        "unsupported_image",
        "unreadable_file",
        None,
    ]


def test_the_key_is_taken_from_the_environment(url: str, photos: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPETUM_API_KEY", KEY)
    assert tapetum(photos[0], "--url", url).stdout.splitlines()[0] == f"{photos[0]}\t0.5000\tw1"


def test_a_wrong_key_ends_the_command_with_one_line(url: str, photos: list[str]) -> None:
    result = tapetum(*photos, "--url", url, "--api-key", "wrong", "--json")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: this API key is not known\n"


def test_a_model_that_is_not_served_is_answered_with_the_nearest_name(url: str, photos: list[str]) -> None:
    result = tapetum(photos[0], "--url", url, "--api-key", KEY, "--model", "efficientnet_lite")
    assert result.exit_code == 2
    assert result.stderr == f"error: there is no model 'efficientnet_lite'; did you mean {MODEL}?\n"


def test_no_server_is_said_in_one_line(photos: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    result = tapetum(*photos, "--url", address)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: no server answers at {address}")
    assert result.stderr.count("\n") == 1


def test_the_server_decides_on_the_device(photos: list[str]) -> None:
    result = tapetum(photos[0], "--url", "http://127.0.0.1:9", "--device", "cpu")
    assert result.exit_code == 2
    assert "leave them out" in result.stderr


def test_an_address_that_is_none_is_a_usage_error(photos: list[str]) -> None:
    assert tapetum(photos[0], "--url", "ftp://host").exit_code == 2
