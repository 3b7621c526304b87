"""A trained model is a card and its weights; what is wrong with either is named."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from models.catalog.cards import card_names, read_card, write_card
from models.catalog.loading import load, pull
from models.catalog.lookup import default_folder, find, folder_for_new_cards, names, own_folders
from models.classification.architectures import build_classifier
from models.detection.architectures import build_detector
from models.detection.detector import Detector
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, Preprocessing, WeightsSource
from models.errors import BrokenCard, UnknownModel, WeightsCorrupt, WeightsUnavailable
from models.files import file_digest
from models.parameters import ClassificationParameters, DetectionParameters
from models.runtime import Runtime
from tests.photos import encoded

pytestmark = pytest.mark.slow

FP32 = Runtime(precision="fp32")
TRAINED = WeightsSource("card", "", None, "CC-BY-4.0", "a test")

DETECTOR = CatalogEntry(
    name="plates-1",
    version="3",
    task="detection",
    architecture="yolox-efficientnet-lite0",
    weights=TRAINED,
    preprocessing=LetterboxPreprocessing(96, 96, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    class_count=2,
    licence="Apache-2.0",
    accuracy=(Accuracy("plates, val", "map", 0.5, "measured in training"),),
    description="Finds number plates.",
    defaults={"score_threshold": 0.4},
    class_names=("plate", "türschild"),
    arguments={"width": 16, "head_width": 8},
    training={"epochs": 3, "data": {"train": 10, "val": 2}, "seconds": 1.5},
)
CLASSIFIER = CatalogEntry(
    name="mugs",
    version="1",
    task="classification",
    architecture="torchvision/squeezenet1_1",
    weights=TRAINED,
    preprocessing=Preprocessing(64, 64, "bilinear", (124.0, 116.0, 104.0), (58.0, 57.0, 57.0)),
    class_count=3,
    licence="BSD-3-Clause",
    accuracy=(),
    description="Tells mugs apart.",
    class_names=("blue", "green", "red"),
)


def network_for(entry: CatalogEntry) -> nn.Module:
    """Builds a network with random weights; a detector's take everything for an object, more or less."""
    torch.manual_seed(5)
    build = build_detector if entry.task == "detection" else build_classifier
    network = build(entry.architecture, entry.class_count, entry.arguments).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias") and ("obj_preds" in name or "cls_preds" in name):
            nn.init.zeros_(parameter)
    return network


def written(folder: Path, entry: CatalogEntry = DETECTOR) -> Path:
    """Writes a card whose weights are of no network."""
    return write_card(folder, entry, {"weight": torch.ones(2, 2)})


def noise(size: tuple[int, int]) -> bytes:
    pixels = np.random.default_rng(8).integers(0, 256, (*size, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def test_a_card_tells_what_was_written(tmp_path):
    path = written(tmp_path / "new" / "folder")
    entry = read_card(path)
    digest = file_digest(path.with_suffix(".safetensors"))
    assert path.name == "plates-1.json" and card_names(path.parent) == ("plates-1",)
    assert entry.weights == WeightsSource("card", "plates-1.safetensors", digest, "CC-BY-4.0", "a test")
    assert entry.defaults == {"score_threshold": 0.4, "iou_threshold": 0.5, "max_detections": 100}
    assert replace(entry, weights=TRAINED, defaults=DETECTOR.defaults) == DETECTOR
    assert sorted(path.parent.iterdir()) == [path, path.with_suffix(".safetensors")], "nothing else is left there"
    assert path.stat().st_mode == path.with_suffix(".safetensors").stat().st_mode, "whoever reads one reads the other"


def test_a_stranger_is_not_told_where_the_card_lies(tmp_path):
    assert str(tmp_path) not in json.dumps(read_card(written(tmp_path)).to_dict())


def test_kernels_are_written_in_half_precision_unless_they_do_not_fit(tmp_path):
    kernels, huge, bias = torch.rand(4, 3), torch.tensor([[1e6, 1.0]]), torch.rand(4)
    state = {"kernels": kernels, "huge": huge, "bias": bias, "count": torch.tensor(7)}
    weights = write_card(tmp_path, DETECTOR, state).with_suffix(".safetensors")
    stored = load_file(weights)
    assert [stored[name].dtype for name in state] == [torch.float16, torch.float32, torch.float32, torch.int64]
    assert torch.equal(stored["kernels"], kernels.half()) and torch.equal(stored["huge"], huge)


def test_arrays_that_share_memory_or_lie_turned_in_it_are_written(tmp_path):
    matrix = torch.rand(3, 4)
    weights = write_card(tmp_path, DETECTOR, {"one": matrix, "two": matrix, "turned": matrix.T})
    stored = load_file(weights.with_suffix(".safetensors"))
    assert torch.equal(stored["turned"], matrix.half().T)


def test_a_model_of_ones_own_is_listed_and_found_by_its_name(catalog):
    written(catalog)
    assert "plates-1" in names() and find("plates-1").class_names == ("plate", "türschild")
    (catalog / "plates-1.safetensors").unlink()
    (catalog / "plates-1.json").unlink()
    assert "plates-1" not in names()
    with pytest.raises(UnknownModel):
        find("plates-1")


def test_several_folders_are_searched(tmp_path, monkeypatch):
    one, two = tmp_path / "one", tmp_path / "two"
    written(one)
    written(two, CLASSIFIER)
    monkeypatch.setenv("TAPETUM_CATALOG", f"{one}{os.pathsep}{two}{os.pathsep}{one}")
    assert (find("plates-1").task, find("mugs").task) == ("detection", "classification")


def test_a_detector_of_ones_own_answers_as_the_network_that_was_trained(catalog):
    network = network_for(DETECTOR)
    write_card(catalog, DETECTOR, network.state_dict())
    adapter = load("plates-1", FP32)
    assert isinstance(adapter, Detector)
    assert adapter.weights_digest == file_digest(catalog / "plates-1.safetensors")
    inputs = [adapter.preprocess(adapter.decode(noise((80, 120))))]
    pixels = torch.as_tensor(inputs[0].pixels).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        expected = network((pixels - 127) / 128)
    assert inputs[0].pixels.shape == (64, 96, 3)
    found = adapter.postprocess(adapter.forward(inputs), inputs, [DetectionParameters(0.001, 1.0, 10_000)])[0]
    best = max(float((level[:, 4].sigmoid() * level[:, 5:].sigmoid().amax(1)).max()) for level in expected)
    assert found.scores[0] == pytest.approx(best, rel=1e-3)
    assert found.image_size == (80, 120)


@pytest.mark.parametrize("entry", [CLASSIFIER, replace(CLASSIFIER, architecture="efficientnet-lite0", name="mugs-2")])
def test_a_classifier_of_ones_own_answers_as_the_network_that_was_trained(catalog, entry):
    network = network_for(entry)
    write_card(catalog, entry, network.state_dict())
    adapter = load(entry.name, FP32)
    assert adapter.class_names == ("blue", "green", "red")
    (prediction,) = adapter.predict([noise((64, 64))], ClassificationParameters(3))
    pixels = torch.as_tensor(adapter.preprocess(adapter.decode(noise((64, 64)))).pixels).permute(2, 0, 1)[None]
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (entry.preprocessing.mean, entry.preprocessing.std)
    )
    with torch.inference_mode():
        expected = network((pixels - mean) / std).softmax(1)[0]
    np.testing.assert_allclose(prediction.probabilities, expected[prediction.class_ids], rtol=5e-3)


@pytest.mark.parametrize("builder", ["googlenet", "inception_v3"])
def test_a_network_with_auxiliary_heads_is_built_without_them(builder):
    network = build_classifier(f"torchvision/{builder}", 2, {})
    assert not any("aux" in name.lower() for name in network.state_dict())


@pytest.mark.parametrize("name", ["noop", "efficientnet-lite0"])
def test_a_card_cannot_take_the_name_of_a_bundled_model(catalog, name):
    written(catalog, replace(DETECTOR, name=name))
    with pytest.raises(BrokenCard, match=f"'{name}' is the name of a model that comes with Tapetum"):
        find(name)


def test_two_cards_of_one_name_are_refused(tmp_path, monkeypatch):
    written(tmp_path / "one")
    written(tmp_path / "two")
    monkeypatch.setenv("TAPETUM_CATALOG", f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}")
    with pytest.raises(BrokenCard, match="there is another model called 'plates-1'"):
        find("plates-1")


def test_a_folder_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path / "gone"))
    for call in (names, lambda: find("noop")):
        with pytest.raises(BrokenCard, match=r"gone: is named by TAPETUM_CATALOG, but there is no such folder"):
            call()


@pytest.mark.parametrize("unset", [True, False])
def test_folder_in_the_home_of_the_user_is_read_where_the_variable_is_unset_or_empty(tmp_path, monkeypatch, unset):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    if unset:
        monkeypatch.delenv("TAPETUM_CATALOG", raising=False)
    else:
        monkeypatch.setenv("TAPETUM_CATALOG", "")
    folder = tmp_path / "tapetum" / "models"
    assert (folder_for_new_cards(), own_folders()) == (folder, ())
    written(folder)
    assert own_folders() == (folder,)
    assert "plates-1" in names() and find("plates-1").card == folder / "plates-1.json"
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    assert (folder_for_new_cards(), own_folders(), "plates-1" in names()) == (tmp_path, (tmp_path,), False)


def test_default_folder_is_below_the_home_of_the_user(monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/jo")
    assert default_folder() == Path("/home/jo/.local/share/tapetum/models")


@pytest.mark.parametrize("name", ["../own/plates-1", "own/plates-1", ".", "", "plates-1.json", "plates-1\0"])
def test_no_name_leads_out_of_a_folder(catalog, name):
    written(catalog)
    with pytest.raises(UnknownModel):
        find(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "other"}, "name must be 'plates-1', as the file is called"),
        (
            {"task": "pose"},
            "task must be one of classification, detection, keypoints, segmentation, multitask, stylization, ",
        ),
        ({"class_names": []}, "class_names must be a list of at least one name"),
        ({"class_names": ["a", 7]}, "class_names[1]: Expected `str`, got `int`"),
        ({"preprocessing": {"short_side": 96}}, "preprocessing: Object missing required field `long_side`"),
        ({"weights": {"file": "../x", "sha256": "", "licence": "", "source": ""}}, "weights.file must be the name of"),
        ({"weights": {"file": "x", "sha256": "12", "licence": "", "source": ""}}, "weights.sha256 must be 64"),
        ({"defaults": {"top_k": 3}}, "defaults.top_k must be left out: there are only score_threshold"),
        ({"defaults": {"iou_threshold": 2}}, "defaults: iou_threshold must be from 0 to 1, not 2"),
        ({"colour": "red"}, "colour must be left out"),
        ({"accuracy": [{"metric": "ap"}]}, "accuracy[0]: Object missing required field `dataset`"),
    ],
)
def test_a_broken_card_is_named_with_its_member(catalog, change, message):
    path = written(catalog)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BrokenCard) as caught:
        find("plates-1")
    assert str(caught.value).startswith(f"{path}: is no model card: {message}")


@pytest.mark.parametrize("change", [{"short_side": 0}, {"long_side": 10_000_000}, {"std": [1, 0, 1]}, {"stride": 0}])
def test_a_card_of_an_impossible_input_is_refused(catalog, change):
    path = written(catalog)
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "preprocessing": {**card["preprocessing"], **change}}))
    with pytest.raises(BrokenCard, match=next(iter(change))):
        find("plates-1")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "\0", "null"])
def test_what_is_no_json_object_is_no_card(catalog, text):
    (catalog / "plates-1.json").write_text(text)
    with pytest.raises(BrokenCard, match="is no model card"):
        find("plates-1")


@pytest.mark.parametrize("change", [{"name": "a/b"}, {"name": ""}, {"training": {"loss": float("nan")}}])
def test_an_entry_that_no_card_can_hold_is_not_written(tmp_path, change):
    with pytest.raises(BrokenCard, match="would be no model card"):
        write_card(tmp_path / "out", replace(DETECTOR, **change), {})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "yolov5"}, "architecture must be one of yolox-efficientnet-lite0, "),
        ({"arguments": {"depth": 3}}, "yolox-efficientnet-lite0 cannot be built with arguments {'depth': 3}"),
    ],
)
def test_an_architecture_that_cannot_be_built_is_named(catalog, change, message):
    path = written(catalog)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BrokenCard) as caught:
        load("plates-1", FP32)
    assert message in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocessing": replace(DETECTOR.preprocessing, stride=16)}, "stride must be a multiple of 32, not 16"),
        (
            {
                "architecture": "yolov1",
                "arguments": {"backbone": "darknet", "width": 0.02},
                "preprocessing": replace(DETECTOR.preprocessing, long_side=512),
            },
            "at most 448 pixels, not 512",
        ),
    ],
)
def test_a_size_that_does_not_suit_the_network_is_named(catalog, change, message):
    entry = replace(DETECTOR, **{"arguments": {"width": 16, "head_width": 8}, **change})
    path = write_card(catalog, entry, network_for(entry).state_dict())
    with pytest.raises(BrokenCard) as caught:
        load("plates-1", FP32)
    assert message in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [("yolov1", {"width": 0.05}), ("faster-rcnn-efficientnet-lite0", {"width": 16, "region_width": 16})],
)
def test_every_kind_of_detector_is_loaded_from_a_card(catalog, architecture, arguments):
    entry = replace(DETECTOR, architecture=architecture, arguments=arguments)
    write_card(catalog, entry, network_for(entry).state_dict())
    (found,) = load("plates-1", FP32).predict([noise((80, 120))], DetectionParameters(0.001))
    assert found.image_size == (80, 120)
    assert set(found.class_ids.tolist()) <= {0, 1}


def test_weights_of_another_shape_are_refused(catalog):
    write_card(catalog, DETECTOR, network_for(replace(DETECTOR, class_count=1, class_names=None)).state_dict())
    with pytest.raises(WeightsCorrupt, match=r"another network's weights .*cls_preds"):
        load("plates-1", FP32)


def test_altered_weights_are_refused(catalog):
    weights = written(catalog).with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(WeightsCorrupt, match="was altered"):
        pull("plates-1")


def test_truncated_weights_are_refused(catalog):
    path = written(catalog)
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    card = json.loads(path.read_text())
    path.write_text(json.dumps({**card, "weights": {**card["weights"], "sha256": file_digest(weights)}}))
    with pytest.raises(WeightsCorrupt, match="truncated or corrupt"):
        pull("plates-1")


def test_a_card_without_its_weights_is_refused(catalog):
    written(catalog).with_suffix(".safetensors").unlink()
    with pytest.raises(WeightsUnavailable, match="safetensors is not there"):
        load("plates-1", FP32)


def test_cards_are_read_without_torch(catalog):
    written(catalog)
    program = (
        "import sys; from models.catalog import lookup; assert lookup.find('plates-1').class_count == 2; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
