"""A card that names an ONNX file is loaded as any other, by the backend that can run it; what is wrong is named."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from models.catalog import onnx_models
from models.catalog.cards import card_names, read_card
from models.catalog.loading import load, pull
from models.catalog.lookup import find, names
from models.classification.classifier import Classifier
from models.errors import (
    BrokenCard,
    ExportError,
    NotConvertible,
    UnsupportedRuntime,
    WeightsCorrupt,
    WeightsUnavailable,
)
from models.execution import precision
from models.export.captured_network import capture
from models.files import file_digest
from models.outputs import adapters
from models.outputs.layouts import OutputLayout
from models.parameters import ClassificationParameters
from models.runtime import Runtime
from models.sources.weights_files import read_state_dict
from services.configuration import TopologyError, validate
from services.model_deployment import ModelDeployment
from tests.photos import encoded
from tests.unit.onnx_files import CLASSES, expected_logits, image, noise, write_card, write_classifier, write_graph

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread")

LOGITS = OutputLayout("logits", "classification", "(N, C)", lambda outputs, size, count: outputs[0])
BOXES = OutputLayout("boxes", "detection", "(N, K, 6)", lambda outputs, size, count: [])
FP32 = Runtime(precision="fp32")


@pytest.fixture(autouse=True)
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the cards."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    monkeypatch.setattr(adapters, "LAYOUTS", {"logits": LOGITS, "boxes": BOXES})
    return tmp_path


@pytest.fixture
def card(catalog: Path) -> Path:
    return write_card(write_classifier(catalog / "mine.onnx"))


def unknown_operator(catalog: Path) -> Path:
    """A card of a network that no backend knows."""
    nodes = [helper.make_node("Sorcery", ["images"], ["logits"])]
    return write_card(
        write_graph(catalog / "mine.onnx", nodes, [image(("N", 3, 64, 64))], [("logits", TensorProto.FLOAT)])
    )


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("backend", ["auto", "openvino", "onnxruntime"])
def test_model_is_listed_found_and_answers_as_its_network(backend, catalog):
    assert card_names(catalog) == ("mine",) and "mine" in names()
    adapter = load("mine", Runtime(precision="fp32", backend=backend, compile=backend == "auto"))
    assert isinstance(adapter, Classifier) and adapter.class_names == CLASSES
    assert adapter.weights_digest == file_digest(catalog / "mine.onnx") == find("mine").weights.sha256
    assert adapter.runtime.backend == ("openvino" if backend == "auto" else backend)
    assert not adapter.runtime.compile, "the options of torch have no effect"
    pixels = noise(1)[0]
    (found,) = adapter.predict([encoded(Image.fromarray(pixels), "PNG")], ClassificationParameters(3))
    crop = adapter.preprocess(adapter.decode(encoded(Image.fromarray(pixels), "PNG"))).pixels
    expected = torch.from_numpy(expected_logits(crop[None])).softmax(1)[0]
    assert found.class_ids.tolist() == expected.argsort(descending=True).tolist()
    np.testing.assert_allclose(found.probabilities, expected[found.class_ids.tolist()], rtol=1e-4)
    adapter.warm_up(4)
    pull("mine")


def test_channels_are_those_of_the_card(catalog):
    write_card(write_classifier(catalog / "mine.onnx"), arguments={"channels": "bgr"})
    item = load("mine", FP32).preprocess(load("mine", FP32).decode(encoded(Image.fromarray(noise(1)[0]), "PNG")))
    expected = torch.from_numpy(expected_logits(item.pixels[None], bgr=True)).softmax(1)
    np.testing.assert_allclose(load("mine", FP32).forward([item]), expected, rtol=1e-4)


@pytest.mark.usefixtures("card")
def test_network_that_openvino_cannot_run_is_run_by_onnxruntime_unless_openvino_is_asked_for(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)

    def refuse(*_: object) -> None:
        raise NotConvertible("OpenVINO cannot run mine.onnx: No conversion rule")

    monkeypatch.setattr("models.execution.openvino_onnx.open_openvino", refuse)
    adapter = load("mine")
    assert (adapter.runtime.backend, adapter.runtime.precision) == ("onnxruntime", "fp32")
    assert "mine runs by onnxruntime: OpenVINO cannot run mine.onnx" in caplog.text
    with pytest.raises(NotConvertible):
        load("mine", Runtime(backend="openvino"))
    monkeypatch.setattr(onnx_models, "find_spec", lambda name: None)
    with pytest.raises(NotConvertible, match=r"No conversion rule; onnxruntime may run it: pip install"):
        load("mine")


@pytest.mark.usefixtures("card")
def test_network_that_reduced_precision_changes_is_loaded_in_fp32(monkeypatch, caplog):
    if Runtime().resolve().precision == "fp32":
        pytest.skip("needs a CPU with bf16")
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(precision, "deviation", lambda *_: 1.0)
    assert load("mine").runtime.precision == "fp32"
    assert "mine runs in fp32: bf16 on cpu differs" in caplog.text


def test_network_that_no_backend_runs_is_refused_with_the_operator(catalog):
    unknown_operator(catalog)
    with pytest.raises(NotConvertible, match=r"onnxruntime cannot run mine\.onnx: .*Sorcery") as caught:
        load("mine")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("card")
def test_backends_that_run_no_onnx_files_are_refused(catalog):
    with pytest.raises(UnsupportedRuntime, match="backend torch runs no ONNX files; take auto, "):
        load("mine", Runtime(backend="torch"))
    with pytest.raises(UnsupportedRuntime, match="onnxruntime computes in the types of an ONNX file, not in bf16"):
        load("mine", Runtime(backend="onnxruntime", precision="bf16"))
    with pytest.raises(UnsupportedRuntime, match="backend onnxruntime is for ONNX files"):
        load("efficientnet-lite0", Runtime(backend="onnxruntime"))
    with pytest.raises(ExportError, match="mine: is an ONNX file"):
        capture("mine")
    with pytest.raises(WeightsCorrupt, match="mine: is an ONNX network, which has no state dict"):
        read_state_dict(find("mine"), catalog / "mine.onnx")


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize(
    ("models", "backend", "message"),
    [
        (["mine"], "torch", "mine is an ONNX file, .* not by torch: set backend to auto"),
        (["mine"], "triton", "mine is an ONNX file, .* not by triton"),
        (["mine", "efficientnet-lite0"], "onnxruntime", "efficientnet-lite0 is none: set backend to auto"),
    ],
)
def test_backend_of_a_deployment_must_run_its_models(models, backend, message):
    document = {"name": "Classifier", "task": "classification", "models": models, "backend": backend}
    with pytest.raises(TopologyError, match=message):
        validate(ModelDeployment, document, "args")
    chosen = "onnxruntime" if models == ["mine"] else "auto"
    fitting = validate(ModelDeployment, {**document, "backend": chosen}, "args")
    assert fitting.runtime_of(fitting.models[0]).backend == chosen


def test_file_that_is_gone_altered_or_damaged_is_refused_with_what_to_do(card, catalog):
    file = catalog / "mine.onnx"
    content = file.read_bytes()
    file.write_bytes(content[:-9])
    with pytest.raises(WeightsCorrupt, match=r"was altered .*; add the model again with `tapetum models add`"):
        load("mine")
    with pytest.raises(WeightsCorrupt, match="was altered"):
        pull("mine")
    write_card(file)
    with pytest.raises(WeightsCorrupt, match=r"mine\.onnx is no ONNX file, or a damaged one; add the model again"):
        load("mine")
    file.unlink()
    assert card.exists() and card_names(catalog) == ()
    with pytest.raises(WeightsUnavailable, match="is not there; add the model again"):
        load("mine")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": None}, "outputs must name a layout"),
        ({"architecture": "torchvision/resnet18"}, "weights.file must end in .onnx where architecture is 'onnx'"),
        ({"quantization": "int8"}, "quantization must be left out"),
    ],
)
def test_card_that_contradicts_itself_is_refused(catalog, changes, message):
    card = write_card(write_classifier(catalog / "mine.onnx"), **changes)
    with pytest.raises(BrokenCard, match=message):
        read_card(card)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outputs": "magic"}, "outputs must be one of logits, boxes, not 'magic'"),
        ({"outputs": "boxes"}, "outputs 'boxes' is a layout for detection, and the model is for classification"),
        ({"arguments": {"channels": "grb"}}, "arguments of onnx are channels, rgb or bgr"),
        ({"arguments": {"width": 3}}, "arguments of onnx are channels"),
        (
            {"class_names": ["cat", "dog"]},
            r"outputs 'logits' does not fit the network, which returns \(1, 3\) float32: 1 images and 2 classes give",
        ),
    ],
)
def test_card_that_does_not_fit_its_network_is_refused_when_it_is_loaded(catalog, changes, message):
    write_card(write_classifier(catalog / "mine.onnx"), **changes)
    with pytest.raises(BrokenCard, match=message) as caught:
        load("mine", FP32)
    assert "\n" not in str(caught.value)


def test_preprocessing_of_another_size_is_refused(card):
    document = json.loads(card.read_text())
    document["preprocessing"]["crop"] = 48
    card.write_text(json.dumps(document))
    with pytest.raises(WeightsCorrupt, match="takes images of 64 × 64 pixels, but preprocessing makes them 48 × 48"):
        load("mine")
