"""Models quantized to int8 by NNCF are cards that OpenVINO runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from models.catalog.cards import read_card, weights_path, write_card
from models.catalog.loading import load
from models.catalog.lookup import find
from models.errors import ExportError, NotConvertible, UnsupportedRuntime
from models.export import quantization
from models.export.quantization import QuantizedModel, quantize
from models.runtime import Runtime
from models.sources.card_weights import load_weights
from services.cli import app
from tests.photos import encoded
from tests.unit.classifier_cards import CLASSES, write_classifier
from tests.unit.segmenter_cards import write_segmenter

pytest.importorskip("nncf", reason="the extra `quantize` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("catalog")]

CLASSIFIER, INSTANCES = "names-anything", "small-mask-rcnn"
TORCH = Runtime(backend="torch", precision="fp32")


def photos(count: int) -> list[bytes]:
    random = np.random.default_rng(3)
    coarse = random.integers(0, 256, (count, 6, 8, 3), np.uint8)
    return [encoded(Image.fromarray(pixels).resize((96, 72)), "PNG") for pixels in coarse]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory):
    """A classifier and an instance segmenter, and both of them in int8."""
    folder = tmp_path_factory.mktemp("catalog")
    write_classifier(folder, CLASSIFIER)
    write_segmenter(folder, "mask-rcnn-efficientnet-lite0", INSTANCES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAPETUM_CATALOG", str(folder))
        for name in (CLASSIFIER, INSTANCES):
            quantize(name, f"{name}-int8", photos(8)).write(folder)
        yield folder


def test_quantized_classifier_gives_nearly_the_same_probabilities():
    small, original = load(f"{CLASSIFIER}-int8"), load(CLASSIFIER)
    images = photos(12)[8:]
    found, wanted = ([each.probabilities for each in adapter.predict(images)] for adapter in (small, original))
    assert small.runtime.to_dict()["precision"] == "int8"
    assert 0 < np.abs(np.array(found) - np.array(wanted)).max() < 0.05
    assert small.weights_digest != original.weights_digest


def test_stages_after_the_quantized_trunk_stay_as_they_are():
    small, original = load(f"{INSTANCES}-int8"), load(INSTANCES)
    (found,), (wanted,) = (adapter.predict(photos(1)) for adapter in (small, original))
    assert len(found.masks) > 0
    assert float(found.scores[0]) == pytest.approx(float(wanted.scores[0]), abs=0.1)


def test_card_says_int8_and_its_weights_are_those_of_the_original(catalog: Path):
    card = read_card(catalog / f"{CLASSIFIER}-int8.json")
    assert (card.quantization, card.accuracy, card.class_names) == ("int8", (), CLASSES)
    state, original = (load_weights(catalog / f"{name}.safetensors") for name in (card.name, CLASSIFIER))
    assert state.keys() == original.keys()
    assert all(torch.equal(value, original[name]) for name, value in state.items())


def test_int8_without_openvino_is_refused():
    with pytest.raises(UnsupportedRuntime, match="is quantized to int8 and runs by OpenVINO on a CPU only"):
        load(f"{CLASSIFIER}-int8", TORCH)


def test_card_that_promises_a_quantized_network_and_has_none_is_refused(catalog: Path, tmp_path: Path, monkeypatch):
    card = replace(read_card(catalog / f"{CLASSIFIER}.json"), name="empty", quantization="int8")
    write_card(tmp_path, card, load_weights(catalog / f"{CLASSIFIER}.safetensors"))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    with pytest.raises(NotConvertible, match="holds no quantized network"):
        load("empty", Runtime(backend="openvino"))


def test_quantizing_twice_is_refused():
    with pytest.raises(ExportError, match="is quantized already"):
        quantize(f"{CLASSIFIER}-int8", "again", photos(1))


def test_images_that_cannot_be_decoded_calibrate_nothing():
    with pytest.raises(ExportError, match="cannot be calibrated without images"):
        quantize(CLASSIFIER, "blind", [b"no image"])


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in folders by class, under the class that the model gives them."""
    folder = tmp_path_factory.mktemp("labelled")
    images = photos(16)
    for number, answer in enumerate(load(CLASSIFIER).predict(images)):
        place = folder / CLASSES[answer.class_ids[0]]
        place.mkdir(exist_ok=True)
        (place / f"{number}.png").write_bytes(images[number])
    return folder


def command(labelled: Path, output: Path, *options: str):
    arguments = ["models", "quantize", CLASSIFIER, "--data", str(labelled), "--output", str(output), "--workers", "1"]
    return CliRunner().invoke(app, [*arguments, *options])


def test_command_writes_a_card_with_both_accuracies_and_prints_both_speeds(labelled: Path, tmp_path: Path):
    catalogs = os.environ["TAPETUM_CATALOG"]
    result = command(labelled, tmp_path, "--name", "small", "--max-loss", "100")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(tmp_path / "small.json")
    assert "images a second on one thread, batches of 8:" in result.stdout
    card = read_card(tmp_path / "small.json")
    after, before = (figure for figure in card.accuracy if figure.metric == "top1")
    assert before.value == 1.0 and "before quantization" in before.note
    assert after.value > 0.8 and after.note.startswith("in int8")
    assert [speed.batch_size for speed in card.speed] == [1, 8]
    assert os.environ["TAPETUM_CATALOG"] == catalogs


def test_command_writes_nothing_where_the_loss_is_greater_than_allowed(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A network whose last layer is negated stands in for the quantized one: none of its answers is right."""

    def spoiled(name: str, new_name: str, images: Iterable[bytes]) -> QuantizedModel:
        card = find(name)
        assert card.card is not None and list(images)
        state = load_weights(weights_path(card.card))
        negated = {key: -value if key.startswith("fc.") else value for key, value in state.items()}
        return QuantizedModel(replace(card, name=new_name), negated)

    monkeypatch.setattr(quantization, "quantize", spoiled)
    result = command(labelled, tmp_path, "--name", "spoiled")
    assert result.exit_code == 1, result.stderr
    assert re.search(r"not written: top1 went from 1\S* to 0\S*, 100\.00 points worse, and 0\.2 are", result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_command_refuses_a_name_that_is_taken(labelled: Path, tmp_path: Path):
    result = command(labelled, tmp_path, "--name", INSTANCES)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"there is a model {INSTANCES} already" in result.stderr
