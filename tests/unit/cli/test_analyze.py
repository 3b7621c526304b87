"""`tapetum analyze`: the answers of several tasks to one image, from this process and from a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from services.cli import app
from tests.photos import encoded, photo
from tests.unit.gateway.test_analysis import Detector, FailingDetector, application
from tests.unit.serving import serving

runner = CliRunner()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(photo("coffee").resize((640, 480)), "JPEG"))
    return path


def test_answers_of_a_server_are_printed_and_drawn(image: Path) -> None:
    with serving(application(Detector())) as url:
        picture = image.with_name("drawn.png")
        result = runner.invoke(app, ["analyze", str(image), "--url", url, "--save", str(picture)])
        assert result.exit_code == 0, result.output
        assert "\ndetect\t0.7500\tperson" in result.stdout and "\nclassify\t" in result.stdout
        with Image.open(picture) as drawn:
            assert drawn.size == (640, 480)
        again = runner.invoke(app, ["analyze", str(image), "--url", url, "--save", str(picture)])
        assert again.exit_code == 1  # never overwritten


def test_a_task_that_fails_has_its_error_and_the_status_is_one(image: Path) -> None:
    with serving(application(FailingDetector())) as url:
        result = runner.invoke(app, ["analyze", str(image), "--url", url, "--json"])
    answers = json.loads(result.stdout.splitlines()[-1])["answers"]  # the server logs to the same stream
    assert result.exit_code == 1 and answers["classify"]["predictions"]
    assert answers["detect"]["error"]["code"] == "internal_error"


@pytest.mark.parametrize(
    "options",
    [
        ["--tasks", "fly"],
        ["--tasks", "classify,classify"],
        ["--model", "yolo-person"],
        ["--tasks", "classify", "--model", "detect=yolo-person"],
        ["--save", "drawn.gif"],
    ],
)
def test_wrong_options_are_refused(image: Path, options: list[str]) -> None:
    assert runner.invoke(app, ["analyze", str(image), *options]).exit_code == 2


def test_an_image_that_is_not_there_is_an_error_of_its_tasks(tmp_path: Path) -> None:
    result = runner.invoke(app, ["analyze", str(tmp_path / "none.jpg"), "--tasks", "classify"])
    assert result.exit_code == 1 and "no such file" in result.stderr
