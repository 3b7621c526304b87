"""`tapetum train style`: tiny photos become a card that stylizes, and runs go on where they stopped."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from models.catalog.cards import read_card
from models.catalog.loading import load
from models.datasets.samples import DatasetError
from models.stylization.adapter import Stylizer
from models.training.engine import CannotResume, Progress, RunStopped
from models.training.style_photos import HELD_OUT, cropped, split_photos
from models.training.style_run import StyleOptions, train_style
from services.answers.wire import Item
from services.cli import app
from services.deployments.host import ModelHost

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PHOTOS = 2 * HELD_OUT
QUICK = ("--steps", "100", "--size", "64", "--batch-size", "1", "--style-size", "64")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(PHOTOS):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
        place = folder / "more" if number % 2 else folder
        coarse.resize((96, 72), Image.Resampling.BICUBIC).save(place / f"{number:02}.jpg")
    return folder


def options(data: Path, output: Path, **changes: Any) -> StyleOptions:
    quick = {"steps": 100, "size": 64, "batch_size": 1, "style_size": 64}
    return StyleOptions(style="stained-glass", data=data, output=output, name="glass", **{**quick, **changes})


def train(data: Path, output: Path, *arguments: str | Path) -> Result:
    asked = ("train", "style", "--data", data, "--output", output, "--name", "glass", *QUICK, *arguments)
    return CliRunner().invoke(app, [str(argument) for argument in asked])


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    output = tmp_path_factory.mktemp("trained")
    return output, train(data, output, "--style", "stained-glass")


def test_training_ends_with_a_card_and_says_how_to_serve_it(trained: tuple[Path, Result]) -> None:
    output, result = trained
    assert (result.exit_code, result.stdout) == (0, f"{output / 'glass.json'}\n"), result.stderr
    assert f"TAPETUM_CATALOG={output} tapetum serve --model glass" in result.stderr
    entry = read_card(output / "glass.json")
    assert [figure.metric for figure in entry.accuracy] == ["content_loss", "style_loss"]
    assert (entry.training["photos"], entry.training["val_photos"]) == (PHOTOS - HELD_OUT, HELD_OUT)
    log = [json.loads(line) for line in (output / "glass.run" / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < 0.7 * losses[0]


def test_what_was_trained_stylizes_here_and_in_the_service(
    trained: tuple[Path, Result], monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    monkeypatch.setenv("TAPETUM_CATALOG", str(trained[0]))
    photo = (data / "00.jpg").read_bytes()
    stylizer = load("glass")
    assert isinstance(stylizer, Stylizer)
    assert stylizer.predict([photo])[0].pixels.shape == (72, 96, 3)
    host = ModelHost({"name": "Stylizer", "task": "stylization", "models": ["glass"]})
    (answer,) = asyncio.run(host.predict([Item("glass", photo, {"strength": 1.0}, time.time() + 60)]))
    document = json.loads(bytes(answer.body or b""))
    assert document["image"] == {"height": 72, "width": 96}
    assert len(document["predictions"]) == 1


def test_a_stopped_run_ends_with_the_same_weights(trained: tuple[Path, Result], data: Path, tmp_path: Path) -> None:
    stopped_at: list[int] = []

    def stop(progress: Progress) -> None:
        if progress.step >= 40 and not stopped_at:
            stopped_at.append(progress.step)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(RunStopped):
        train_style(options(data, tmp_path), stop)
    card = train_style(options(data, tmp_path))
    assert 0 < stopped_at[0] < 100
    expected = (trained[0] / "glass.safetensors").read_bytes()
    assert card.with_suffix(".safetensors").read_bytes() == expected


def test_a_run_of_other_options_is_not_gone_on_with(trained: tuple[Path, Result], data: Path) -> None:
    with pytest.raises(CannotResume, match=r"is of a run with learning_rate 0\.002, not 0\.01"):
        train_style(options(data, trained[0], learning_rate=0.01))


def test_too_few_photos_are_one_line(tmp_path: Path) -> None:
    result = train(tmp_path, tmp_path / "out", "--style", "stained-glass")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr == f"error: {tmp_path}: 0 photos, but 32 are needed: JPEG, PNG or WebP\n"


def test_a_damaged_style_picture_is_one_line(data: Path, tmp_path: Path) -> None:
    (tmp_path / "style.png").write_bytes(b"no picture")
    result = train(data, tmp_path / "out", "--style", tmp_path / "style.png")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"error: the style picture {tmp_path / 'style.png'} cannot be read: not an image")


def test_a_damaged_photo_is_named(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.jpg"
    path.write_bytes((data / "00.jpg").read_bytes()[:500])
    with pytest.raises(DatasetError, match=r"damaged\.jpg: the JPEG header is truncated or corrupt"):
        cropped(path, 64)


def test_the_last_photos_by_name_are_held_out_and_crops_follow_from_the_seed(data: Path) -> None:
    learned, held_out = split_photos(data)
    assert len(learned) == len(held_out) == HELD_OUT
    assert sorted(learned + held_out) == learned + held_out
    first, again, other = (cropped(learned[0], 48, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (48, 48, 3)
    assert (first == again).all() and (first != other).any()
