"""`tapetum segment` without a server: real networks, though none of them was trained."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import skimage.io
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from models.entries import LetterboxPreprocessing
from models.geometry.masks import Mask
from services.answers.local import batch_size
from services.cli import app
from services.cli.console import Screen
from services.cli.display import show_text
from services.cli.layouts import MASKS
from services.cli.results import Result as ImageResult
from services.client import Box, Instance, Region, RunLengths, Segmentation
from tests.unit.segmenter_cards import INSTANCE_CLASSES, SEMANTIC_CLASSES, write_segmenter

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SEMANTIC, INSTANCE = "unet", "mask-rcnn-efficientnet-lite0"
KINDS = pytest.mark.parametrize("model", [SEMANTIC, INSTANCE])


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the cards of both models."""
    folder = tmp_path_factory.mktemp("catalog")
    for model in (SEMANTIC, INSTANCE):
        write_segmenter(folder, model, model)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of 480 × 600 pixels."""
    path = tmp_path / "photo.png"
    Image.fromarray(skimage.data.astronaut()).resize((600, 480)).save(path)
    return path


@pytest.fixture
def segment(catalog: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command."""
    monkeypatch.setenv("TAPETUM_CATALOG", str(catalog))

    def run(model: str, *arguments: str | Path, **options: Any) -> Result:
        return CliRunner().invoke(app, ["segment", *map(str, arguments), "--model", model], **options)

    return run


def line_of(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    (line,) = (json.loads(line) for line in result.stdout.splitlines())
    return line


def test_classes_are_answered_as_the_http_api_does(segment: Any, photo: Path):
    line = line_of(segment(SEMANTIC, photo, "--json", "--probabilities"))
    assert list(line) == ["path", "model", "version", "image", "predictions"]
    assert (line["model"], line["version"], line["image"]) == (SEMANTIC, "7", {"height": 480, "width": 600})
    areas = [found["area_pixels"] for found in line["predictions"]]
    assert areas == sorted(areas, reverse=True)
    for found in line["predictions"]:
        assert list(found) == ["class_id", "class_name", "area_pixels", "fraction", "probability", "mask"]
        assert SEMANTIC_CLASSES[found["class_id"]] == found["class_name"]
        assert Mask.from_coco(found["mask"]).area == found["area_pixels"]
        assert found["fraction"] == pytest.approx(found["area_pixels"] / (480 * 600), abs=1e-6)


def test_objects_are_answered_as_the_http_api_does(segment: Any, photo: Path):
    line = line_of(segment(INSTANCE, photo, "--json"))
    assert 0 < len(line["predictions"]) <= 20, "the model's own max_detections"
    for found in line["predictions"]:
        assert list(found) == ["box", "class_id", "class_name", "score", "area_pixels", "mask"]
        assert found["score"] >= 0.3, "and its own score_threshold"
        assert INSTANCE_CLASSES[found["class_id"]] == found["class_name"]
        assert Mask.from_coco(found["mask"]).size == (480, 600)


def test_options_go_before_the_models_own(segment: Any, photo: Path):
    assert len(line_of(segment(INSTANCE, photo, "--json", "--max-detections", 2))["predictions"]) == 2
    assert line_of(segment(INSTANCE, photo, "--json", "--score-threshold", 1))["predictions"] == []
    largest = line_of(segment(SEMANTIC, photo, "--json"))["predictions"][0]
    assert line_of(segment(SEMANTIC, photo, "--json", "--class", largest["class_name"]))["predictions"] == [largest]


def test_masks_are_written_as_asked(segment: Any, photo: Path):
    regions = line_of(segment(SEMANTIC, photo, "--json", "--mask-format", "png"))
    with Image.open(io.BytesIO(base64.b64decode(regions["class_map"]))) as picture:
        class_map = np.asarray(picture)
    for found in regions["predictions"]:
        assert (class_map == found["class_id"]).sum() == found["area_pixels"]
    things = line_of(segment(INSTANCE, photo, "--json", "--mask-format", "polygon", "--max-detections", 1))
    assert isinstance(things["predictions"][0]["mask"], list)


def test_background_is_no_class_to_ask_for(segment: Any, photo: Path):
    result = segment(SEMANTIC, photo, "--class", "background")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: 'background' is the background, which has no mask of its own; ")


@KINDS
def test_option_that_is_wrong_is_a_usage_error(segment: Any, photo: Path, model: str):
    assert segment(model, photo, "--mask-format", "foo").exit_code == 2
    assert segment(model, photo, "--score-threshold", 2).exit_code == 2


@KINDS
@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
def test_pictures_are_saved_whatever_the_format(segment: Any, photo: Path, model: str, mask_format: str):
    out = photo.parent / "out"
    line = line_of(segment(model, photo, "--json", "--mask-format", mask_format, "--save", out))
    assert line["saved"] == str(out / "photo.png")
    drawn, before = skimage.io.imread(line["saved"]), skimage.io.imread(photo)
    assert drawn.shape == before.shape
    assert (drawn != before).any(axis=2).mean() > 0.005, "something is drawn on it"


def test_pipe_gets_a_line_for_each_mask(segment: Any, photo: Path):
    name, class_name, area, share = segment(SEMANTIC, photo).stdout.splitlines()[0].split("\t")
    assert (name, class_name in SEMANTIC_CLASSES) == (str(photo), True)
    assert float(share) == pytest.approx(int(area) / (480 * 600), abs=1e-4)
    assert len(segment(SEMANTIC, photo, "--probabilities").stdout.splitlines()[0].split("\t")) == 5
    name, class_name, area, share, score, *edges = segment(INSTANCE, photo).stdout.splitlines()[0].split("\t")
    assert (class_name in INSTANCE_CLASSES, 0.3 <= float(score) <= 1, len(edges)) == (True, True, 4)
    assert segment(INSTANCE, photo, "--score-threshold", 1).stdout == f"{photo}\tno masks\n"


def test_terminal_shows_area_and_share():
    mask = RunLengths((10, 20), "o5")
    rows = (Region(1, "sky", 130, 0.65, mask), Region(2, "sea", 10, 0.05, mask, 0.875))
    things = (Instance(Box(0, 0, 5, 5), 0, "cat", 0.914, 12345, RunLengths((1000, 20), "")),)
    answers = [
        ImageResult("a.png", Segmentation("m", "1", (10, 20), rows, False, "")),
        ImageResult("b.png", Segmentation("m", "1", (1000, 20), things, False, "")),
        ImageResult("c.png", Segmentation("m", "1", (1000, 20), (), False, "")),
    ]
    terminal = Console(file=io.StringIO(), force_terminal=True, width=110, color_system=None)
    assert show_text(Screen(terminal, terminal), answers, 3, MASKS) == 0
    assert isinstance(terminal.file, io.StringIO)
    lines = [" ".join(line.split()) for line in terminal.file.getvalue().splitlines()]
    assert lines[:5] == [
        "a.png sky 130 px 65.0% of the image",
        "10 high, 20 wide 87.5% sea 10 px 5.0% of the image",
        "b.png 91.4% cat 12,345 px 61.7% of the image",
        "1000 high, 20 wide",
        "c.png no masks",
    ]


def test_images_that_go_to_the_network_in_tiles_are_not_held_by_the_dozen():
    small = LetterboxPreprocessing(416, 416, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    tiled = LetterboxPreprocessing(3008, 4000, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), enlarge=False, tile=512, overlap=64)
    assert (batch_size(small), batch_size(tiled)) == (16, 1)
