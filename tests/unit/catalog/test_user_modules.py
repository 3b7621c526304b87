"""A card may name a function in a module of the user's own, where the operator allows that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.catalog.cards import write_card
from models.catalog.loading import load
from models.entries import CatalogEntry, LetterboxPreprocessing, Preprocessing, WeightsSource
from models.errors import BrokenCard, WeightsCorrupt
from models.importing.checkpoint import inspect_checkpoint, read_checkpoint
from models.runtime import Runtime
from tests.photos import BLUE, GREEN, RED, encoded

pytestmark = pytest.mark.usefixtures("one_thread")

SOURCE = """
import torch
from torch import nn

class Redness(nn.Module):
    def __init__(self, class_count, gain):
        super().__init__()
        self.scores = nn.Linear(3, class_count, bias=False)
        self.scores.weight.data = gain * torch.eye(3)[:class_count]

    def forward(self, images):
        return self.scores(images.mean((2, 3)))

def build(class_count, gain=1.0):
    return Redness(class_count, gain)

def build_nothing(class_count):
    return None

def build_badly(class_count):
    raise LookupError("no such\\n backbone")

class Wrong(nn.Module):
    def forward(self, images):
        return images[:, :, : images.shape[2] + 1].reshape(7, -1)

def build_wrong(class_count):
    return Wrong()

class Doubtful(nn.Module):
    def forward(self, images):
        means = images.mean((2, 3))
        return -means if means.sum() > 1e9 else means

def build_doubtful(class_count):
    return Doubtful()

not_a_function = 3
"""
CLASSES = ("red", "green", "blue")
RUNTIME = Runtime(precision="fp32")
PLAIN = Preprocessing(32, 32, "bilinear", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


@pytest.fixture
def module(tmp_path, monkeypatch, request) -> str:
    """The name of a module that is allowed, unlike that of any other test."""
    name = f"own_networks_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    monkeypatch.setenv("TAPETUM_MODEL_MODULES", f"another, {name}")
    return name


def write(folder: Path, architecture: str, state: dict[str, torch.Tensor] | None = None, **members: Any) -> Path:
    entry = CatalogEntry(
        **{
            "name": "colours",
            "version": "1",
            "task": "classification",
            "architecture": architecture,
            "weights": WeightsSource("card", "", None, "CC0-1.0", "a test"),
            "preprocessing": PLAIN,
            "class_count": len(CLASSES),
            "licence": "CC0-1.0",
            "accuracy": (),
            "description": "Names a colour.",
            "class_names": CLASSES,
            **members,
        }
    )
    return write_card(folder, entry, state or {})


def colour(rgb: tuple[int, int, int]) -> bytes:
    from PIL import Image

    return encoded(Image.new("RGB", (40, 40), rgb), "PNG")


def named(answers: Any) -> list[str]:
    return [CLASSES[answer.class_ids[0]] for answer in answers]


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_card_without_weights_serves_the_network_as_the_module_builds_it(tmp_path, module, backend):
    write(tmp_path, f"{module}:build", arguments={"gain": 50.0})
    model = load("colours", Runtime(precision="fp32", backend=backend))
    answers = model.predict([colour(RED), colour(GREEN), colour(BLUE)])
    assert named(answers) == list(CLASSES)
    assert answers[0].probabilities[0] > 0.99


def test_weights_of_a_card_replace_those_of_the_module(tmp_path, module):
    turned = {"scores.weight": 50 * torch.eye(3).flip(0)}
    write(tmp_path, f"{module}:build", turned)
    assert named(load("colours", RUNTIME).predict([colour(RED)])) == ["blue"]


def test_checkpoint_of_such_a_network_is_read(tmp_path, module):
    torch.save({"state_dict": {"module.scores.weight": torch.ones(2, 3)}}, tmp_path / "model.pth")
    found = inspect_checkpoint(tmp_path / "model.pth", f"{module}:build")
    assert found.class_count == 2 and len(found.kinds) > 1 and found.outputs == ("logits", "class-logits")
    assert torch.equal(read_checkpoint(tmp_path / "model.pth", found)["scores.weight"], torch.ones(2, 3))


def test_network_that_openvino_cannot_run_is_run_by_torch(tmp_path, module, caplog):
    write(tmp_path, f"{module}:build_doubtful")
    assert load("colours", RUNTIME).runtime.backend == "torch"
    assert "runs by torch" in caplog.text


@pytest.mark.parametrize("allowed", ["", "own", "own_networks_", "another", " , ,"])
def test_module_that_the_operator_does_not_name_is_not_imported(tmp_path, module, monkeypatch, allowed):
    monkeypatch.setenv("TAPETUM_MODEL_MODULES", allowed)
    (tmp_path / f"{module}.py").write_text("raise SystemExit('imported')")
    write(tmp_path, f"{module}:build")
    message = f"module {module} may not be imported: set TAPETUM_MODEL_MODULES={module} to allow it"
    with pytest.raises(BrokenCard, match=message):
        load("colours", RUNTIME)


def test_package_that_is_allowed_allows_its_modules(tmp_path, module, monkeypatch):
    (tmp_path / f"{module}_package").mkdir()
    (tmp_path / f"{module}.py").rename(tmp_path / f"{module}_package" / "networks.py")
    monkeypatch.setenv("TAPETUM_MODEL_MODULES", f"{module}_package")
    write(tmp_path, f"{module}_package.networks:build", arguments={"gain": 50.0})
    assert named(load("colours", RUNTIME).predict([colour(GREEN)])) == ["green"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("build_nobody", "has no function build_nobody"),
        ("not_a_function", "has no function not_a_function"),
        ("build_nothing", "returns NoneType, and not a torch.nn.Module"),
        ("build_badly", "build_badly fails with class_count=3: LookupError: no such backbone"),
        ("build_wrong", r"the network of \w+:build_wrong fails for \(1, 3, 32, 32\): RuntimeError: shape "),
        ("build.more", "is not written as package.module:function"),
        ("", "is not written as package.module:function"),
    ],
)
def test_function_that_builds_no_network_is_refused_in_one_line(tmp_path, module, function, message):
    path = write(tmp_path, f"{module}:{function}")
    with pytest.raises(BrokenCard, match=message) as caught:
        load("colours", RUNTIME)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package_of_anyone", "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
        ("def build(:", "cannot be imported: SyntaxError: "),
        ("raise SystemExit", "cannot be imported: SystemExit"),
    ],
)
def test_module_that_cannot_be_imported_is_refused_in_one_line(tmp_path, module, source, message):
    (tmp_path / f"{module}.py").write_text(source)
    write(tmp_path, f"{module}:build")
    with pytest.raises(BrokenCard, match=message) as caught:
        load("colours", RUNTIME)
    assert "\n" not in str(caught.value)


def test_arguments_that_the_function_does_not_take_are_refused(tmp_path, module):
    write(tmp_path, f"{module}:build", arguments={"colour": "red"})
    with pytest.raises(BrokenCard, match=r"fails with class_count=3, colour='red': TypeError: .* unexpected keyword"):
        load("colours", RUNTIME)


def test_weights_that_do_not_fit_are_refused(tmp_path, module):
    write(tmp_path, f"{module}:build", nn.Linear(2, 2).state_dict())
    with pytest.raises(WeightsCorrupt, match="another network's weights"):
        load("colours", RUNTIME)


def test_detector_has_to_name_the_layout_of_its_outputs(tmp_path, module):
    letterbox = LetterboxPreprocessing(64, 64, PLAIN.mean, PLAIN.std)
    write(tmp_path, f"{module}:build", task="detection", preprocessing=letterbox, defaults={})
    with pytest.raises(BrokenCard, match=r"outputs must name the layout of the network's outputs, one of .*yolov8"):
        load("colours", RUNTIME)
