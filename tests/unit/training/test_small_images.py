"""Recipes of small images: LeNet-5 and ResNet-20 from random weights, on images in an archive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.catalog.loading import load
from models.classification.small_networks import CifarResNet
from models.datasets.folders import LabelledImage
from models.training.class_data import read_class_data
from models.training.classifier import ClassificationRecipe, ClassifierSettings
from models.training.classifier_run import ClassifierOptions, train_classifier
from models.training.crops import CropAugmentation, CropMaker
from models.training.photos import ImageReader
from tests.unit.tiny_images import KINDS, picture

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train.npz` and `val.npz` of 28 x 28 colour pictures."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    folder.mkdir()
    for split, count, seed in (("train", 40, 0), ("val", 8, 1)):
        rng = np.random.default_rng(seed)
        labels = np.arange(3 * count) % 3
        images = [np.pad(picture(KINDS[label], rng), ((2, 2), (2, 2), (0, 0))) for label in labels]
        np.savez(folder / f"{split}.npz", images=np.stack(images), labels=labels, class_names=np.array(KINDS))
    return folder


def options(data: Path, output: Path, **changes: Any) -> ClassifierOptions:
    usual = {"architecture": "lenet5", "name": "shapes", "start": "none", "epochs": 12, "batch_size": 10}
    usual |= {"learning_rate": 0.003, "precision": "fp32", "evaluate_every": 20}
    return ClassifierOptions(data=data, output=output, **{**usual, **changes})  # pyright: ignore[reportArgumentType]


def test_lenet_5_learns_from_an_array_and_is_served_at_28_pixels(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = json.loads(train_classifier(options(data, tmp_path)).read_text())
    assert (card["architecture"], card["class_names"]) == ("lenet5", list(KINDS))
    assert (card["preprocessing"]["resize"], card["preprocessing"]["crop"]) == (28, 28)
    assert card["accuracy"][0]["value"] > 0.6  # of three shapes that differ in colour, which it averages away
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    file = read_class_data(data, 0.2, 0).val[0].path.read_bytes()
    assert load("shapes").predict([file])[0].image_size == (28, 28)


def test_small_networks_start_from_none(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lenet5 has no ImageNet weights; start from none"):
        options(data, tmp_path, start="imagenet")


def test_lenet_5_takes_one_size_and_resnet_20_others(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lenet5 takes images of 28 pixels only, not 32"):
        train_classifier(options(data, tmp_path, size=32))
    with pytest.raises(ValueError, match="lenet5 takes images of 28 pixels only, not 24"):
        train_classifier(options(data, tmp_path, early_size=24))
    options_of_resnet = options(data, tmp_path, architecture="resnet20", size=20, epochs=1)
    assert json.loads(train_classifier(options_of_resnet).read_text())["preprocessing"]["crop"] == 20


def test_early_epochs_see_smaller_images(data: Path) -> None:
    settings = ClassifierSettings(
        32, 10, 0, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), early_size=24, early_epochs=2
    )
    images = read_class_data(data, 0.2, 0).train
    augmentation = CropAugmentation.for_size(32, flip=True, padding=4)
    recipe = ClassificationRecipe(CifarResNet(3), images, lambda network: {}, settings, augmentation)
    sides = [next(recipe.batches(epoch, 0)).pixels.shape[1:3] for epoch in range(3)]
    assert sides == [(24, 24), (24, 24), (32, 32)]


@pytest.mark.parametrize(
    ("changes", "early"), [({}, 0), ({"early_size": 24}, 6), ({"early_size": 24, "closing_epochs": 2}, 10)]
)
def test_the_last_half_of_the_epochs_is_at_full_size(data: Path, changes: dict[str, Any], early: int) -> None:
    assert options(data, data, **changes).early_epochs == early


@pytest.fixture
def spot(tmp_path: Path) -> ImageReader:
    """A white pixel in the middle of a black image of 32 x 32."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[16, 16] = 255
    Image.fromarray(pixels).save(tmp_path / "spot.png")
    return ImageReader([LabelledImage(tmp_path / "spot.png", 0)], 32)


def test_a_padded_crop_moves_an_image_by_at_most_the_padding(spot: ImageReader) -> None:
    maker = CropMaker(spot, 32, CropAugmentation.for_size(32, flip=False, padding=4), 0)
    places = [np.argwhere(maker.make(epoch, 0)[0][:, :, 0] == 255) for epoch in range(200)]
    assert all(len(place) == 1 for place in places)
    offsets = np.concatenate(places) - 16
    assert set(offsets[:, 0].tolist()) == set(offsets[:, 1].tolist()) == set(range(-4, 5))


def test_inverted_images_are_as_many_as_asked_for(spot: ImageReader) -> None:
    maker = CropMaker(spot, 32, CropAugmentation.for_size(32, flip=False, padding=1, invert=0.5), 0)
    black = np.array([0, 0, 0, 1])
    inverted = [float((maker.make(epoch, 0)[1] @ black)[0]) > 128 for epoch in range(200)]
    assert 70 <= sum(inverted) <= 130
