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

import numpy as np
import orjson
import pytest
from PIL import Image
from pydantic import SecretStr
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from models.parameters import SegmentationParameters
from models.predictions import SemanticMask
from services.answers.wire import Failure, Item, Outcome, describe_prediction
from services.cli import app
from services.client import Box, Classification, Client, Detections, TapetumError
from services.gateway.app import create_app
from services.gateway.serving.registry import Registry
from services.settings import Settings
from services.topology import check_topology
from tests.checkout import DOCS
from tests.unit.gateway_fakes import identified, sign
from tests.unit.serving import serving

KEY = "s3cret"
MODEL = "efficientnet-lite0"
DETECTOR = "yolox/nano"
SEGMENTER = "torchvision/deeplabv3_resnet50"


class WidthBackend:
    """Answers with the width of the image as its class id."""

    async def predict(self, items: list[Item]) -> list[Outcome]:
        (described,) = await self.describe()
        return [sign(item, self._answer(item), described) for item in items]

    async def describe(self) -> list[dict[str, Any]]:
        entry = {"name": MODEL, "version": "1", "task": "classification"}
        return [
            identified(
                {**entry, "weights_digest": "d", "runtime": {}, "class_names": ["a", "b"], "defaults": {"top_k": 1}}
            )
        ]

    def _answer(self, item: Item) -> Outcome:
        width, height = Image.open(io.BytesIO(item.image)).size
        found = self.predictions_of(height, width, item.parameters)
        return Outcome(orjson.dumps({"image": {"height": height, "width": width}, "predictions": found}), None, {})

    def predictions_of(self, height: int, width: int, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"class_id": width, "class_name": f"w{width}", "probability": 0.5}] * parameters["top_k"]


class FrameBackend(WidthBackend):
    """Finds one object, as large as the image; none above a score of 0.8."""

    async def describe(self) -> list[dict[str, Any]]:
        entry = {"name": DETECTOR, "version": "2", "task": "detection", "class_count": 2, "defaults": {}}
        return [identified({**entry, "weights_digest": "d", "runtime": {}, "class_names": ["door", "frame"]})]

    def predictions_of(self, height: int, width: int, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        box = {"x_min": 0.0, "y_min": 0.0, "x_max": float(width), "y_max": float(height)}
        found = {"box": box, "class_id": 1, "class_name": "frame", "score": 0.8}
        return [found] if parameters["score_threshold"] <= 0.8 and parameters["class_ids"] in (None, (1,)) else []


class TopRowsBackend(WidthBackend):
    """Finds one class, which has the upper half of the image.

    Where that is 2 wide, the answer with probabilities is too large to be sent.
    """

    async def describe(self) -> list[dict[str, Any]]:
        entry = {"name": SEGMENTER, "version": "3", "task": "segmentation", "segmentation": "semantic", "defaults": {}}
        names = ["background", "top"]
        return [identified({**entry, "weights_digest": "d", "runtime": {}, "class_names": names, "class_count": 2})]

    def _answer(self, item: Item) -> Outcome:
        too_large = item.parameters["probabilities"] and Image.open(io.BytesIO(item.image)).width == 2
        return (
            Outcome(None, Failure(422, "answer_too_large", "too large", {}), {}) if too_large else super()._answer(item)
        )

    def predictions_of(self, height: int, width: int, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        pixels = np.zeros((height, width), np.uint8)
        pixels[: height // 2] = 1
        found = SemanticMask(pixels, np.array([1], np.int64), None, (height, width))
        return describe_prediction(found, ("background", "top"), SegmentationParameters(**parameters))["predictions"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The address of a gateway that asks for `KEY` and is ready."""
    deployments = [
        {"name": "Classifier", "task": "classification", "models": [MODEL]},
        {"name": "Detector", "task": "detection", "models": [DETECTOR]},
        {"name": "Segmenter", "task": "segmentation", "models": [SEGMENTER]},
    ]
    backends = {"Classifier": WidthBackend(), "Detector": FrameBackend(), "Segmenter": TopRowsBackend()}
    registry = Registry(check_topology({"deployments": deployments}), backends)
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
        assert [model.name for model in client.models()] == [MODEL, DETECTOR, SEGMENTER]
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
        {"known": [MODEL, DETECTOR, SEGMENTER]},
    )


def test_the_examples_of_its_page_run(url: str, photos: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", (DOCS / "client.md").read_text(), re.DOTALL | re.MULTILINE)
    predicting = [example for example in examples if "client.generate" not in example]  # that: test_made_pictures
    assert len(predicting) == len(examples) - 1
    for example in predicting:
        code = example.replace('"http://localhost:8000"', f'"{url}", api_key="{KEY}"')
        exec(code.replace("photo.jpg", photos[2]), {})
    assert (
        capsys.readouterr().out == "50.0% w3\n" * 3 + "frame 3.0 7.0\ntop 9 0.428571\nw3\nfailed: unsupported_image\n"
    )


def test_the_client_gets_objects_of_the_classes_that_it_names(url: str, photos: list[str]) -> None:
    with Client(url, api_key=KEY) as client:
        (frame,) = client.detect(Path(photos[8]), classes=["frame"], score_threshold=0.5).predictions
        empty, broken = client.detect_many([Path(photos[8]), b"no image"], score_threshold=0.9)
        with pytest.raises(TapetumError) as unknown:
            client.detect(Path(photos[8]), classes=["window"])
    assert (frame.box, frame.class_name, frame.score) == (Box(0, 0, 9, 7), "frame", 0.8)
    assert isinstance(empty, Detections)
    assert isinstance(broken, TapetumError)
    assert (empty.predictions, empty.image_size, empty.version) == ((), (7, 9), "2")
    assert (unknown.value.status, unknown.value.details["known"]) == (422, ["door", "frame"])


def test_objects_of_many_images_are_drawn_and_saved(url: str, photos: list[str], tmp_path: Path) -> None:
    options = ["--url", url, "--api-key", KEY, "--class", "frame", "--save", str(tmp_path / "drawn"), "--json"]
    result = CliRunner().invoke(app, ["detect", *photos, *options])
    assert result.exit_code == 0
    assert [(line["path"], line["saved"]) for line in lines_of(result)] == [
        (path, str(tmp_path / "drawn" / Path(path).name)) for path in photos
    ]
    assert len(list((tmp_path / "drawn").iterdir())) == len(photos)


def test_class_that_the_model_has_not_ends_the_command_with_one_line(url: str, photos: list[str]) -> None:
    arguments = ["detect", photos[0], "--url", url, "--api-key", KEY, "--class", "window"]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: the model has no class 'window'; it has door, frame\n"


@pytest.mark.parametrize("mask_format", ["rle", "polygon"])
def test_masks_of_many_images_are_drawn_and_saved(
    url: str, photos: list[str], tmp_path: Path, mask_format: str
) -> None:
    options = ["--url", url, "--api-key", KEY, "--save", str(tmp_path / "drawn"), "--json"]
    result = CliRunner().invoke(app, ["segment", *photos, *options, "--mask-format", mask_format])
    assert result.exit_code == 0
    assert [(line["path"], line["saved"]) for line in lines_of(result)] == [
        (path, str(tmp_path / "drawn" / Path(path).name)) for path in photos
    ]
    assert lines_of(result)[4]["predictions"][0]["area_pixels"] == 3 * 5


def test_answer_that_is_too_large_costs_the_other_images_nothing(url: str, photos: list[str]) -> None:
    options = ["--url", url, "--api-key", KEY, "--json", "--probabilities"]
    result = CliRunner().invoke(app, ["segment", *photos[:3], *options])
    assert result.exit_code == 1
    assert [line.get("error", {}).get("code") for line in lines_of(result)] == [None, "answer_too_large", None]


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
