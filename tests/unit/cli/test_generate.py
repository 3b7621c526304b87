"""`tapetum generate` with the bundled generator: files, grids, and one line for what cannot be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from models.catalog.generators import load_judge
from models.catalog.loading import load
from models.catalog.lookup import find
from models.generation.evaluation import generate_evenly
from models.generation.image_generator import ImageGenerator
from models.generation.neighbours import spread
from services.cli import app
from tests.checkout import DOCS

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

DIGITS = "gan-digits"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def generate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["generate", *arguments])


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_the_same_class_and_seed_give_the_same_file(here: Path) -> None:
    for name in ("one.png", "other.png"):
        result = generate("--class", "7", "--seed", "1", "-o", name)
        assert (result.exit_code, result.stdout) == (0, f"{name}\n")
    assert (here / "one.png").read_bytes() == (here / "other.png").read_bytes()
    generate("--class", "7", "--seed", "2", "-o", "other.png")
    assert (here / "one.png").read_bytes() != (here / "other.png").read_bytes()


def test_several_images_are_one_grid_or_a_file_each(here: Path) -> None:
    assert generate("--class", "3", "--count", "5", "-o", "grid.png").exit_code == 0
    assert generate("--class", "3", "--count", "5", "--each", "threes").exit_code == 0
    grid = pixels(here / "grid.png")
    assert grid.shape == (2 * 28, 3 * 28)
    files = sorted((here / "threes").iterdir())
    assert [file.name for file in files] == [f"{DIGITS}-3-0-{number}.png" for number in range(1, 6)]
    assert np.array_equal(pixels(files[4]), grid[28:, 28:56])


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")]
)
def test_the_name_of_the_file_decides_on_its_format(here: Path, name: str, kind: str) -> None:
    assert generate("-o", name).exit_code == 0
    with Image.open(here / name) as image:
        assert (image.format, image.size) == (kind, (28, 28))


def test_without_a_name_a_new_file_is_written_and_none_overwritten() -> None:
    outputs = [generate("--class", "4", "--seed", "9").stdout, generate("--class", "4", "--seed", "9").stdout]
    assert outputs == [f"{DIGITS}-4-9.png\n", f"{DIGITS}-4-9-2.png\n"]
    assert generate().stdout == f"{DIGITS}-any-0.png\n"


def test_json_has_the_parameters_and_the_files() -> None:
    document = json.loads(generate("--class", "7", "--count", "2", "--json", "-o", "a.png").stdout)
    asked = {"model": DIGITS, "version": "1", "seed": 0, "count": 2}
    assert document == {**asked, "class_ids": [7, 7], "saved": ["a.png"]}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--class", "ten"), 2, "the model has no class 'ten'; it has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"),
        (("--class", "10"), 2, "the model has no class '10'"),
        (("--class", "-1"), 2, "the model has no class '-1'"),
        (("--seed", "-1"), 2, "seed must be from 0 to 9007199254740991, not -1"),
        (("--seed", "9007199254740992"), 2, "seed must be from 0 to 9007199254740991, not 9007199254740992"),
        (("--seed", "9" * 400), 2, "seed must be from 0 to 9007199254740991"),
        (("--count", "65"), 2, "count must be from 1 to 64, not 65"),
        (("--count", "0"), 2, "count must be from 1 to 64, not 0"),
        (("--truncation", "0"), 2, "truncation must be above 0 and at most 1"),
        (("--truncation", "nan"), 2, "truncation must be above 0 and at most 1"),
        (("--model", "mnist"), 2, "mnist is a model for classification, not for generation"),
        (("--model", "gan-digit"), 2, "there is no model 'gan-digit'; did you mean gan-digits"),
        (("-o", "nowhere/a.png"), 1, "nowhere/a.png: no such file or directory"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(here: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    result = generate(*arguments)
    assert result.exit_code == status
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not any(here.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("-o", "a.gif"), "must end in .png"), (("-o", "a.png", "--each", "b"), "give one of them"), (("photo.jpg",), "")],
)
def test_options_that_do_not_fit_are_refused(here: Path, arguments: tuple[str, ...], message: str) -> None:
    result = generate(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not any(here.iterdir())


def test_every_option_is_in_the_documentation() -> None:
    documentation = (DOCS / "cli.md").read_text()
    options = set(re.findall(r"--[a-z-]+", generate("images", "--help").stdout))
    assert {option for option in options if f"`{option}" not in documentation} <= {"--help"}


def test_the_bundled_generator_draws_the_asked_digits_and_not_the_same_ones_again() -> None:
    model, judge = load(DIGITS), load_judge("mnist")
    assert isinstance(model, ImageGenerator)
    images, class_ids = generate_evenly(model, 300)
    seen = judge.look_at(images)
    assert (seen.class_ids == class_ids).mean() > 0.95
    spreads = [spread(seen.features[class_ids == class_id]) for class_id in range(10)]
    assert min(spreads) > 1.5  # 2.7 to 5.1 of the held-out digits of docs/experimental.md
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images)


def test_the_card_has_the_figures_beside_the_floor() -> None:
    figures = {figure.metric: figure for figure in find(DIGITS).accuracy}
    assert {"fid", "agreement", "precision", "recall", "diversity", "least_diversity"} <= {*figures}
    assert "5,000" in figures["fid"].note and "floor" in figures["fid"].note
