"""`tapetum explain layers`: bundled networks, without a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from services.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PHOTO = Path(__file__).parents[3] / "docs" / "images" / "coffee.jpg"


def explain_layers(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["explain", "layers", *map(str, arguments)])


def test_each_layer_is_one_line_in_a_pipe():
    lines = explain_layers("efficientnet-lite0").stdout.splitlines()
    assert lines[0].split("\t") == ["stem.0", "Conv2d", "32 × 112 × 112", "3", "2", "1", "1", "864", "3", "2"]
    assert lines[-1].split("\t")[:3] == ["classifier", "Linear", "1000"]
    assert lines[-1].split("\t")[8] == "whole image"


def test_json_has_each_layer_on_a_line():
    layers = [json.loads(line) for line in explain_layers("yolo-person", "--json").stdout.splitlines()]
    assert layers[-1]["receptive_field"] == {"whole_image": False, "size": [1171, 1171], "stride": [32, 32]}
    assert sum(layer["parameters"] for layer in layers) == 3839042


def test_filters_and_the_maps_of_a_photo_are_saved_and_never_overwritten(tmp_path: Path):
    for _ in range(2):
        result = explain_layers("efficientnet-lite0", PHOTO, "--layer", "stages.2", "--save", tmp_path)
        assert result.exit_code == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        *("coffee-stages.2-2.png", "coffee-stages.2.png"),
        *("efficientnet-lite0-filters-2.png", "efficientnet-lite0-filters.png"),
    ]
    with Image.open(tmp_path / "coffee-stages.2.png") as sheet:
        assert min(sheet.size) > 400


def test_the_heads_of_a_two_stage_model_run_on_each_region():
    lines = explain_layers("mask-rcnn-nuclei").stdout.splitlines()
    heads = [line.split("\t") for line in lines if line.split("\t")[8] == "its region"]
    assert [head[0] for head in heads if head[1] == "Linear"] == [
        *("box_head.fc6", "box_head.fc7"),
        *("box_predictor.cls_score", "box_predictor.bbox_pred"),
    ]
    assert heads[-1][:3] == ["mask_predictor.mask_fcn_logits", "Conv2d", "2 × 28 × 28"]


def test_shapes_are_those_of_the_photo():
    wide = explain_layers("unet-person", PHOTO).stdout.splitlines()[0].split("\t")
    assert wide[2] == "32 × 144 × 208"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["noop"], "noop has no network"),
        (["mnist-1d"], "mnist-1d takes signals: only models of images have explanations and layers"),
        (["efficientnet-lite1"], "there is no model 'efficientnet-lite1'; did you mean"),
        (["efficientnet-lite0", str(PHOTO), "--layer", "stem.9", "--save", "x"], "did you mean stem"),
        (["efficientnet-lite0", "no.jpg", "--layer", "stem", "--save", "x"], "no.jpg: no such file"),
        (["efficientnet-lite0", str(PHOTO), "--layer", "classifier", "--save", "x"], "has no feature maps"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = explain_layers(*arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_layer_without_a_photo_is_refused():
    result = explain_layers("efficientnet-lite0", "--layer", "stem")
    assert result.exit_code == 2
