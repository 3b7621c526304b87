"""`loadtests.style`: its tables, with few tiny photos and steps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from loadtests import style
from models.training.style_photos import HELD_OUT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CLI = typer.Typer()
CLI.command()(style.main)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(2 * HELD_OUT):
        pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC).save(tmp_path / f"{number:02}.jpg")
    return tmp_path


def test_photos_have_no_content_loss_and_the_network_has_less_style_loss(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "RUNS", 1)
    output = photos / "figures.json"
    asked = ["--data", str(photos), "--optimised", "1", "--steps", "12", "--output", str(output)]
    result = CliRunner().invoke(CLI, asked)
    assert result.exit_code == 0, result.output
    found = json.loads(output.read_text())
    photo, network, few, gatys = found["losses"]
    assert [row["photos"] for row in found["losses"]] == [HELD_OUT, HELD_OUT, 1, 1]
    assert photo["content"] == 0
    assert network["content"] > 0
    assert network["style"] < photo["style"]
    assert gatys["way"] == "Gatys, 12 steps" and few["way"] == "`style-stained-glass`"
    assert network["total"] == pytest.approx(
        6 * network["content"] + 30 * network["style"] + 4 * network["variation"], rel=1e-5
    )
    assert len(found["cpu_s"]) == 3 and min(found["cpu_s"].values()) > 0
    assert f"| the photos themselves | {HELD_OUT} | 0.000 |" in result.stdout


def test_a_model_of_another_kind_is_refused(photos: Path) -> None:
    assert CliRunner().invoke(CLI, ["--data", str(photos), "--model", "mnist"]).exit_code == 2
