"""`tapetum detect` without a server: real networks, though none of them was trained."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import skimage.io
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from services.cli import app
from services.cli.console import Screen
from services.cli.display import show_text
from services.cli.layouts import OBJECTS
from services.cli.results import Result as ImageResult
from services.client import Box, Detection, Detections
from tests.unit.detector_cards import CLASSES, write_detector

pytestmark = pytest.mark.slow

MODEL = "finds-anything"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the card of `MODEL`."""
    return write_detector(tmp_path_factory.mktemp("catalog"), MODEL).parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos of the same name in two folders, and a text that is no image."""
    for name, of in (("a/photo.png", "astronaut"), ("b/photo.png", "coffee")):
        (tmp_path / name).parent.mkdir()
        Image.fromarray(getattr(skimage.data, of)()).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def detect(catalog: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command with `MODEL`."""
    monkeypatch.setenv("TAPETUM_CATALOG", str(catalog))

    def run(*arguments: str | Path, **options: Any) -> Result:
        return CliRunner().invoke(app, ["detect", *map(str, arguments), "--model", MODEL], **options)

    return run


def lines_of(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_augmented_boxes_are_others_and_as_many_images_are_answered(detect: Any, folder: Path) -> None:
    photos = [folder / "a" / "photo.png", folder / "b" / "photo.png"]
    options = ("--json", "--score-threshold", "0.2")
    plain, augmented = detect(*photos, *options), detect(*photos, *options, "--augment")
    assert (plain.exit_code, augmented.exit_code) == (0, 0)
    found, merged = lines_of(plain), lines_of(augmented)
    assert [one["image"] for one in merged] == [one["image"] for one in found]
    assert [one["predictions"] for one in merged] != [one["predictions"] for one in found]
    for one in merged:
        assert all(0 <= row["score"] <= 1 for row in one["predictions"]) and one["predictions"]


def test_objects_are_answered_as_the_http_api_does(detect: Any, folder: Path):
    result = detect(folder / "a", "--json")
    (line,) = lines_of(result)
    assert result.exit_code == 0
    assert list(line) == ["path", "model", "version", "image", "predictions"]
    assert (line["model"], line["version"], line["image"]) == (MODEL, "7", {"height": 512, "width": 512})
    scores = [found["score"] for found in line["predictions"]]
    assert 0 < len(scores) <= 20, "the model's own max_detections"
    assert min(scores) >= 0.4, "and its own score_threshold"
    assert scores == sorted(scores, reverse=True)
    for found in line["predictions"]:
        box = found["box"]
        assert 0 <= box["x_min"] <= box["x_max"] <= 512
        assert 0 <= box["y_min"] <= box["y_max"] <= 512
        assert CLASSES[found["class_id"]] == found["class_name"]


def test_thresholds_and_classes_go_before_the_models_own(detect: Any, folder: Path):
    few = lines_of(detect(folder / "a", "--json", "--max-detections", 2))[0]["predictions"]
    none = lines_of(detect(folder / "a", "--json", "--score-threshold", 1))[0]["predictions"]
    signs = lines_of(detect(folder / "a", "--json", "--class", "stop sign", "--class", 0))[0]["predictions"]
    every = lines_of(detect(folder / "a", "--json", "--iou-threshold", 1, "--max-detections", 1000))[0]["predictions"]
    alone = lines_of(detect(folder / "a", "--json", "--class-agnostic", "--max-detections", 1000))[0]["predictions"]
    assert (len(few), none) == (2, [])
    assert {found["class_name"] for found in signs} == {"stop sign", "cat"}
    assert len(alone) < len(every)


def test_pipe_gets_a_line_for_each_object_and_one_for_an_image_without(detect: Any, folder: Path):
    lines = detect(folder / "a", "--max-detections", 3).stdout.splitlines()
    name, score, class_name, *edges = lines[0].split("\t")
    assert len(lines) == 3
    assert (name, 0.4 <= float(score) <= 1, class_name in CLASSES) == (str(folder / "a" / "photo.png"), True, True)
    assert all(0 <= float(edge) <= 512 for edge in edges)
    assert len(edges) == 4
    nothing = detect(folder / "a", "--score-threshold", 1).stdout
    assert nothing == f"{folder / 'a' / 'photo.png'}\tno objects\n"


def test_bad_image_fails_alone(detect: Any, folder: Path):
    result = detect(folder / "notes.txt", folder / "b", "--json")
    assert result.exit_code == 1
    assert [line.get("error", {}).get("code") for line in lines_of(result)] == ["unsupported_image", None]


def test_unknown_class_is_answered_with_the_nearest_name(detect: Any, folder: Path):
    result = detect(folder, "--class", "stop sing")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: the model has no class 'stop sing'; it has cat, dog, stop sign; did you mean stop sign?\n"
    )


@pytest.mark.parametrize(("command", "model"), [("detect", "efficientnet-lite0"), ("classify", MODEL)])
def test_model_for_another_task_is_refused(
    catalog: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, model: str
):
    monkeypatch.setenv("TAPETUM_CATALOG", str(catalog))
    result = CliRunner().invoke(app, [command, str(folder), "--model", model])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {model} is a model for ")


def test_drawn_pictures_are_saved_under_names_of_their_own(detect: Any, folder: Path):
    out = folder / "out"
    result = detect(folder / "a", folder / "b", folder / "notes.txt", "--json", "--save", out)
    saved = [line.get("saved") for line in lines_of(result)]
    assert saved == [str(out / "photo.png"), str(out / "photo-2.png"), None]
    astronaut, coffee = (skimage.io.imread(out / name) for name in ("photo.png", "photo-2.png"))
    assert (astronaut.shape, coffee.shape) == ((512, 512, 3), (400, 600, 3))
    assert (astronaut != skimage.data.astronaut()).any(axis=2).mean() > 0.005, "something is drawn on it"
    assert (astronaut == skimage.data.astronaut()).all(axis=2).mean() > 0.3, "and it is still that photo"


def test_no_file_is_ever_overwritten(detect: Any, folder: Path):
    before = (folder / "a" / "photo.png").read_bytes()
    for number in (2, 3):
        (line,) = lines_of(detect(folder / "a" / "photo.png", "--json", "--save", folder / "a"))
        assert line["saved"] == str(folder / "a" / f"photo-{number}.png")
    assert (folder / "a" / "photo.png").read_bytes() == before


def test_jpeg_stays_one_and_standard_input_is_saved_too(detect: Any, folder: Path):
    file = io.BytesIO()
    Image.fromarray(skimage.data.rocket()).save(file, "JPEG")
    (line,) = lines_of(detect("-", "--json", "--save", folder / "deep" / "out", input=file.getvalue()))
    assert line["saved"] == str(folder / "deep" / "out" / "stdin.jpg")
    assert Path(line["saved"]).read_bytes().startswith(b"\xff\xd8\xff")


def test_folder_that_cannot_be_made_is_said_in_one_line(detect: Any, folder: Path):
    result = detect(folder / "a", "--save", folder / "notes.txt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"error: {folder / 'notes.txt'}: file exists\n"


def test_terminal_shows_objects_beside_their_image():
    found = (Detection(Box(1.4, 2.0, 30.6, 40.0), 0, "cat", 0.914), Detection(Box(5, 5, 6, 6), 1, "dog", 0.3))
    answers = [
        ImageResult("a.png", Detections("m", "1", (480, 640), found, False, ""), picture=Path("out/a.png")),
        ImageResult("b.png", Detections("m", "1", (10, 20), (), False, "")),
    ]
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    assert show_text(Screen(terminal, terminal), answers, 2, OBJECTS) == 0
    assert isinstance(terminal.file, io.StringIO)
    lines = [line.rstrip() for line in terminal.file.getvalue().splitlines()]
    assert [" ".join(line.split()) for line in lines[:5]] == [
        "a.png 91.4% cat x 1–31, y 2–40",
        "480 high, 640 wide 30.0% dog x 5–6, y 5–6",
        "→ out/a.png",
        "b.png no objects",
        "10 high, 20 wide",
    ]
