"""`tapetum train generator`: digits of a few pixels become a card that generates, and runs go on where they stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from models.catalog.cards import read_card
from models.catalog.generators import load_judge
from models.catalog.loading import load
from models.generation.evaluation import generate_evenly
from models.generation.image_generator import ImageGenerator
from models.generation.networks import Discriminator, Generator
from models.parameters import GenerationParameters
from models.training.engine import CannotResume, Progress
from models.training.generator_evaluation import compare_with_real
from models.training.generator_examples import Examples
from models.training.generator_recipe import GeneratorRecipe
from models.training.generator_run import GeneratorOptions, train_generator
from services.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

CLASSES = 3
FIGURES = ["fid", "agreement", "precision", "recall", "diversity", "least_diversity"]


def bars(count: int, seed: int, classes: int = CLASSES) -> dict[str, Any]:
    """Bright bars of some random height in the column of their class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = np.zeros((count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[rng.integers(4, 12) : rng.integers(16, 26), 3 + 8 * label : 8 + 8 * label] = 255
    return {"images": images, "labels": labels}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "bars"
    folder.mkdir()
    np.savez(folder / "train.npz", **bars(96, 0))
    np.savez(folder / "val.npz", **bars(30, 1))
    return folder


def options(data: Path, output: Path, **changes: Any) -> GeneratorOptions:
    quick = {"epochs": 3, "batch_size": 16, "width": 2, "latent_size": 8, "precision": "fp32", "evaluate_every": 3}
    return GeneratorOptions(data=data, output=output, name="bars", **{**quick, **changes})


@pytest.fixture(scope="module")
def card(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_generator(options(data, tmp_path_factory.mktemp("trained")))


def loaded(card: Path, monkeypatch: pytest.MonkeyPatch) -> ImageGenerator:
    monkeypatch.setenv("TAPETUM_CATALOG", str(card.parent))
    model = load("bars")
    assert isinstance(model, ImageGenerator)
    return model


def test_training_ends_with_a_card_that_generates(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = read_card(card)
    assert entry.class_names == ("0", "1", "2")
    assert [figure.metric for figure in entry.accuracy] == FIGURES
    assert entry.accuracy[0].dataset == "bars/val (30 images)"
    assert entry.training["weights"] == "moving average after the last epoch"
    images = loaded(card, monkeypatch).generate(GenerationParameters(1, seed=3, count=2)).images()
    assert images.shape == (2, 28, 28, 3)


def test_a_run_that_was_stopped_ends_with_the_same_weights(card: Path, data: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_generator(options(data, tmp_path), stop)
    again = train_generator(options(data, tmp_path))
    assert again.with_suffix(".safetensors").read_bytes() == card.with_suffix(".safetensors").read_bytes()


def test_a_run_of_other_options_is_not_gone_on_with(card: Path, data: Path) -> None:
    with pytest.raises(CannotResume, match=r"is of a run with learning_rate 0\.0002, not 0\.01"):
        train_generator(options(data, card.parent, learning_rate=0.01))


def test_both_networks_learn_and_the_frozen_one_thaws() -> None:
    torch.manual_seed(0)
    generator, discriminator = Generator(CLASSES, 8, 2), Discriminator(CLASSES, 2)
    made = bars(32, 0)
    examples = Examples(made["images"], made["labels"])
    recipe = GeneratorRecipe(generator, discriminator, examples, lambda network: {}, 16, 0)
    batch = next(iter(recipe.batches(0, 1)))
    recipe.losses(batch)["generator"].backward()  # pyright: ignore[reportUnknownMemberType]
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert all(parameter.grad is not None for parameter in generator.parameters())
    generator.zero_grad()
    recipe.opponent_losses(batch)["discriminator"].backward()  # pyright: ignore[reportUnknownMemberType]
    assert all(parameter.grad is not None for parameter in discriminator.parameters())
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_batches_follow_from_epoch_and_number() -> None:
    made = bars(64, 0)
    networks = Generator(CLASSES, 8, 2), Discriminator(CLASSES, 2)
    recipe = GeneratorRecipe(
        *networks, Examples(made["images"], made["labels"]), lambda network: {}, batch_size=16, seed=4
    )
    whole, rest = list(recipe.batches(2, 0)), list(recipe.batches(2, 3))
    assert len(whole) == recipe.steps_per_epoch() == 4
    assert all(map(torch.equal, vars(whole[3]).values(), vars(rest[0]).values()))
    assert not torch.equal(whole[0].noise, whole[1].noise)
    assert not torch.equal(whole[0].noise, whole[0].wanted_noise)
    assert (whole[0].images.min(), whole[0].images.max()) == (-1, 1)


def test_evaluated_images_are_as_many_of_every_class(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, class_ids = generate_evenly(loaded(card, monkeypatch), 200)
    assert np.bincount(class_ids).tolist() == [67] * 3
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images) == 201


def test_real_images_are_nearer_to_held_out_ones_than_noise(
    card: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = compare_with_real(loaded(card, monkeypatch), data, load_judge("mnist"), 90)
    assert found.counts == {"generated": 90, "train": 90, "noise": 90, "val": 30}
    assert found.rows["train"]["fid"] < found.rows["generated"]["fid"]
    assert found.rows["train"]["fid"] < found.rows["noise"]["fid"] / 10
    assert [*found.classes] == ["0", "1", "2"]
    assert [*found.rows["noise"]] == FIGURES


def tapetum(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_says_how_to_try_the_model(data: Path, tmp_path: Path) -> None:
    quick = ("--epochs", "1", "--width", "2", "--batch-size", "32", "--precision", "fp32", "--name", "bars")
    result = tapetum("train", "generator", "--data", data, "--output", tmp_path, *quick)
    assert result.exit_code == 0
    assert result.stdout == f"{tmp_path / 'bars.json'}\n"
    assert f"TAPETUM_CATALOG={tmp_path} tapetum generate --model bars" in result.stderr
    assert "bars: fid " in result.stderr


def test_an_evaluation_is_a_table_or_json(card: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPETUM_CATALOG", str(card.parent))
    arguments = ("generate", "evaluate", "--model", "bars", "--data", data, "--count", "100")
    table = tapetum(*arguments)
    assert table.exit_code == 0
    assert table.stdout.splitlines()[0].split("\t") == ["", "generated", "train (floor)", "noise"]
    document = json.loads(tapetum(*arguments, "--json").stdout)
    assert document["counts"] == {"generated": 102, "train": 96, "noise": 102, "val": 30}
    assert [*document["rows"]] == ["generated", "train", "noise"]


def ten(folder: Path) -> Path:
    np.savez(folder / "train.npz", **bars(33, 0), class_names=np.array(["0", "1", "ten"]))
    np.savez(folder / "val.npz", **bars(12, 0), class_names=np.array(["0", "1", "ten"]))
    return folder


@pytest.mark.parametrize(
    ("command", "arguments", "status", "message"),
    [
        (
            "train",
            ("--judge", "yolo-digits"),
            2,
            "yolo-digits cannot judge images: that takes a classifier with a card",
        ),
        ("train", ("--judge", "mnits"), 2, "there is no model 'mnits'; did you mean mnist"),
        ("train", ("--name", "a b"), 2, "a model cannot be called 'a b'"),
        ("train", (), 2, "mnist cannot judge images of 'ten'; it knows 0, 1"),
        ("train", ("--data", "/nowhere"), 1, "/nowhere"),
        ("evaluate", (), 2, "has the classes 0, 1, ten, and gan-digits generates 0, 1, 2"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    tmp_path: Path, command: str, arguments: tuple[str, ...], status: int, message: str
) -> None:
    commands: dict[str, Callable[[], Result]] = {
        "train": lambda: tapetum(
            *("train", "generator", "--data", ten(tmp_path), "--output", tmp_path / "out", "--epochs", "1"), *arguments
        ),
        "evaluate": lambda: tapetum("generate", "evaluate", "--data", ten(tmp_path), *arguments),
    }
    result = commands[command]()
    assert result.exit_code == status
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"epochs": 0}, "epochs must be"), ({"width": 0}, "width must be"), ({"val_share": 1.0}, "val share must be")],
)
def test_options_out_of_range_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(tmp_path, tmp_path, **changes)
