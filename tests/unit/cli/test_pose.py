"""`tapetum pose`: people and key points of images as text and as JSON, and drawn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from services.cli import app
from tests.photos import photo
from tests.unit.pose_cards import write_pose_estimator

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAPETUM_CATALOG", str(write_pose_estimator(tmp_path / "catalog").parent))
    path = tmp_path / "astronaut.jpg"
    photo("astronaut").resize((160, 120)).save(path)
    return path


def test_a_line_has_score_class_box_and_the_visible_key_points(image: Path) -> None:
    result = CliRunner().invoke(app, ["pose", str(image), "--model", "dolls", "--max-detections", "1"])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    _, score, name, *rest = line.split("\t")
    assert 0.3 <= float(score) <= 1 and name == "doll" and len(rest) == 4 + 3
    assert [field.partition("=")[0] for field in rest[4:]] == ["nose", "left_hand", "right_hand"]


def test_points_below_the_threshold_are_not_printed(image: Path) -> None:
    arguments = ["pose", str(image), "--model", "dolls", "--max-detections", "1", "--keypoint-threshold", "1"]
    result = CliRunner().invoke(app, arguments)
    assert len(result.stdout.split("\t")) == 3 + 4


def test_json_is_that_of_the_server_and_the_skeleton_is_drawn(image: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    result = CliRunner().invoke(app, ["pose", str(image), "--model", "dolls", "--json", "--save", str(drawn)])
    answer = json.loads(result.stdout)
    assert answer["skeleton"] == [[0, 1], [0, 2]] and len(answer["predictions"][0]["keypoints"]) == 3
    with Image.open(drawn / "astronaut.jpg") as picture:
        assert picture.size == (480, 360)


def test_a_model_of_another_task_is_one_line(image: Path) -> None:
    result = CliRunner().invoke(app, ["pose", str(image), "--model", "yolo-person"])
    assert result.exit_code == 2 and "is a model for detection, not for keypoints" in result.output
