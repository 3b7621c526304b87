"""`tapetum analyze`: the answers of several tasks to one image, from this process and from a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from services.cli import app
from tests.checkout import DOCS
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


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_multi_task_network_answers_all_of_its_tasks_here_in_one_pass(tmp_path: Path) -> None:
    image, picture = DOCS / "images" / "astronaut.jpg", tmp_path / "drawn.png"
    options = ["--model", "multitask-person", "--json", "--save", str(picture)]
    result = runner.invoke(app, ["analyze", str(image), *options])
    assert result.exit_code == 0, result.output
    answers = json.loads(result.stdout)["answers"]
    assert list(answers) == ["classify", "detect", "segment"]
    assert {answer["model"] for answer in answers.values()} == {"multitask-person"}
    assert answers["detect"]["predictions"][0]["score"] > 0.9 and "mask" in answers["segment"]["predictions"][0]
    with Image.open(picture) as drawn:
        assert drawn.size[0] == 512


def test_a_multi_task_network_is_not_asked_for_a_task_that_it_lacks(image: Path) -> None:
    result = runner.invoke(app, ["analyze", str(image), "--model", "multitask-person", "--tasks", "pose"])
    assert result.exit_code == 2
    assert "multitask-person has no part for pose; it has classify, detect, segment" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--tasks", "fly"],
        ["--tasks", "classify,classify"],
        ["--tasks", "classify", "--model", "multitask-person", "--model", "detect=yolo-person"],
        ["--tasks", "classify", "--model", "detect=yolo-person"],
        ["--save", "drawn.gif"],
    ],
)
def test_wrong_options_are_refused(image: Path, options: list[str]) -> None:
    assert runner.invoke(app, ["analyze", str(image), *options]).exit_code == 2


def test_an_image_that_is_not_there_is_an_error_of_its_tasks(tmp_path: Path) -> None:
    result = runner.invoke(app, ["analyze", str(tmp_path / "none.jpg"), "--tasks", "classify"])
    assert result.exit_code == 1 and "no such file" in result.stderr
