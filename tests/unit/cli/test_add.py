"""`tapetum models add`, `remove` and `rename`: a file becomes a model, or one clear line says why not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import TensorProto, helper
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from models.catalog.cards import read_card
from models.catalog.loading import load
from models.catalog.lookup import find
from models.entries import LetterboxPreprocessing, Preprocessing
from services.cli import adding, app
from tests.unit.onnx_files import CLASSES, CROP, image, write_classifier, write_graph

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

NAMES = ("--classes", ",".join(CLASSES))
RANGE = ("--mean", ",".join(map(str, CROP.mean)), "--std", ",".join(map(str, CROP.std)))
SIDE, CELLS = 64, 84
"""Of the input of a YOLO, and its cells: 8 x 8, 4 x 4 and 2 x 2."""


@pytest.fixture(autouse=True)
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's cards, which does not exist yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.delenv("TAPETUM_CATALOG", raising=False)
    return tmp_path / "share" / "tapetum" / "models"


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "best.onnx")


def write_yolo(path: Path) -> Path:
    """Writes a network of layout `yolov8` that finds one object of class 1 in the middle of every image."""
    rows = np.zeros((1, 6, CELLS), np.float32)
    rows[0, :, 7] = (32, 32, 20, 10, 0.125, 0.75)  # exact in bf16, too
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=0),
        helper.make_node("Reshape", ["means", "shape"], ["values"]),
        helper.make_node("Mul", ["values", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "rows"], ["output0"]),
    ]
    constants = {
        "axes": np.array([1, 2, 3]),
        "shape": np.array([-1, 1, 1]),
        "zero": np.zeros(1, np.float32),
        "rows": rows,
    }
    return write_graph(path, nodes, [image((1, 3, SIDE, SIDE))], [("output0", TensorProto.FLOAT)], constants)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def add(file: Path, *options: str | Path, name: str = "pets") -> Result:
    return run("add", file, "--name", name, *options)


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock") if folder.exists() else []


def shape_of(picture: Path) -> float:
    """Width of a JPEG by its height, to one digit."""
    with Image.open(picture) as opened:
        assert opened.format == "JPEG"
        return round(opened.width / opened.height, 1)


def test_classifier_is_tried_drawn_and_written_with_the_commands_that_serve_it(classifier: Path, catalog: Path):
    result = add(classifier, *NAMES, *RANGE, "--licence", "MIT")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{catalog / 'pets.json'}\n"
    assert visible(catalog) == ["pets.jpg", "pets.json", "pets.onnx"]
    entry = find("pets")
    assert (entry.task, entry.class_names, entry.outputs, entry.licence) == ("classification", CLASSES, "logits", "MIT")
    assert entry.preprocessing == Preprocessing(73, 64, "bilinear", CROP.mean, CROP.std)
    assert shape_of(catalog / "pets.jpg") == 1.5
    assert "stop sign" in result.stderr
    assert "tapetum serve --model pets" in result.stderr and "localhost:8000/v1/classify" in result.stderr
    assert "TAPETUM_CATALOG" not in result.stderr


def test_detector_gets_its_names_from_the_settings_of_its_data_set(tmp_path: Path, catalog: Path):
    (tmp_path / "data.yaml").write_text("names: {0: cat, 1: dog}\n")
    result = add(write_yolo(tmp_path / "best.onnx"), "--classes", tmp_path / "data.yaml")
    assert result.exit_code == 0, result.stderr
    entry = find("pets")
    assert (entry.task, entry.outputs, entry.class_names) == ("detection", "yolov8", ("cat", "dog"))
    assert isinstance(entry.preprocessing, LetterboxPreprocessing)
    assert (entry.preprocessing.long_side, entry.preprocessing.stride) == (SIDE, SIDE)
    assert "75.0%  dog" in result.stderr
    assert "china.jpg → " in result.stderr
    assert shape_of(catalog / "pets.jpg") == 1.5


def test_what_the_file_does_not_say_is_asked_for_on_a_terminal_until_it_fits(
    classifier: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(adding, "has_terminal", lambda _: True)
    arguments = ["models", "add", str(classifier), "--name", "pets"]
    result = CliRunner().invoke(app, arguments, input="cat,dog\nmissing.txt\ncat,dog,stop sign\n")
    assert result.exit_code == 0, result.stderr
    assert "has 2 class names, and 3 classes by its outputs" in result.stderr
    assert "missing.txt: there is no such file" in result.stderr
    assert find("pets").class_names == CLASSES
    assert visible(catalog) == ["pets.jpg", "pets.json", "pets.onnx"]


def test_own_sample_is_drawn(tmp_path: Path, catalog: Path):
    Image.new("RGB", (300, 150), "gray").save(tmp_path / "own.png")
    result = add(write_yolo(tmp_path / "best.onnx"), "--classes", "cat,dog", "--sample", tmp_path / "own.png")
    assert result.exit_code == 0, result.stderr
    assert shape_of(catalog / "pets.jpg") == 2.0


def test_checkpoint_of_torchvision_is_added_and_keeps_every_bit_of_its_weights(tmp_path: Path, catalog: Path):
    torch.manual_seed(3)
    network = torchvision.models.squeezenet1_1(num_classes=3).eval()
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "best.pth")
    result = add(tmp_path / "best.pth", *NAMES)
    assert result.exit_code == 0, result.stderr
    assert visible(catalog) == ["pets.jpg", "pets.json", "pets.safetensors"]
    assert find("pets").architecture == "torchvision/squeezenet1_1"
    kernels = load_file(catalog / "pets.safetensors")
    assert all(torch.equal(kernels[name], value) for name, value in network.state_dict().items())


def test_added_export_of_a_bundled_model_has_its_preprocessing(tmp_path: Path):
    exported = CliRunner().invoke(app, ["export", "onnx", "yolo-digits", "--output", str(tmp_path / "digits.onnx")])
    assert exported.exit_code == 0, exported.stderr
    result = add(tmp_path / "digits.onnx", name="digits")
    assert result.exit_code == 0, result.stderr
    bundled, added = find("yolo-digits"), find("digits")
    assert (added.class_names, added.outputs) == (bundled.class_names, "yolox-maps")
    assert isinstance(added.preprocessing, LetterboxPreprocessing)
    assert isinstance(bundled.preprocessing, LetterboxPreprocessing)
    assert added.preprocessing.long_side == bundled.preprocessing.long_side


def test_folder_that_is_not_read_by_itself_is_named_in_the_command(classifier: Path, catalog: Path, tmp_path: Path):
    result = add(classifier, *NAMES, "--output", tmp_path / "mine")
    assert result.exit_code == 0, result.stderr
    assert f"TAPETUM_CATALOG={tmp_path / 'mine'} tapetum serve --model pets" in result.stderr
    assert visible(tmp_path / "mine") == ["pets.jpg", "pets.json", "pets.onnx"]
    assert visible(catalog) == []


def test_first_folder_of_the_catalog_takes_new_models(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAPETUM_CATALOG", f"{tmp_path / 'first'}:{tmp_path}")
    assert add(classifier, *NAMES).exit_code == 0
    assert visible(tmp_path / "first") == ["pets.jpg", "pets.json", "pets.onnx"]


def test_weights_in_another_file_become_one_file(classifier: Path, catalog: Path, tmp_path: Path):
    model = onnx.load(str(classifier))
    onnx.save(model, str(classifier), save_as_external_data=True, location="best.onnx.data", size_threshold=60)
    assert add(classifier, *NAMES).exit_code == 0
    (tmp_path / "best.onnx.data").unlink()
    assert load("pets").class_names == CLASSES
    result = add(classifier, *NAMES, name="others")
    assert result.exit_code == 1
    assert "keeps weights in 'best.onnx.data', which is not beside it; copy both files" in result.stderr
    assert visible(catalog) == ["pets.jpg", "pets.json", "pets.onnx"]


@pytest.mark.parametrize(
    ("options", "name", "status", "problem"),
    [
        (("--classes", "cat,dog"), "pets", 1, "has 2 class names, and 3 classes by its outputs"),
        (("--classes", "missing.txt"), "pets", 1, "missing.txt: there is no such file"),
        ((), "pets", 2, "does not name its 3 classes: say --classes"),
        ((*NAMES, "--mean", "0,0,0"), "pets", 2, "--mean and --std go together"),
        ((*NAMES, "--mean", "a", "--std", "1"), "pets", 2, "--mean must be three numbers"),
        ((*NAMES, "--mean", "0", "--std", "0"), "pets", 2, "--std must be above 0"),
        ((*NAMES, "--task", "detection"), "pets", 1, "looks like classification, not detection"),
        ((*NAMES, "--layout", "yolov8"), "pets", 1, "does not fit the layout yolov8"),
        ((*NAMES, "--layout", "best"), "pets", 1, "there is no layout 'best'"),
        ((*NAMES, "--size", "128"), "pets", 1, "takes images of 64 x 64 pixels only"),
        ((*NAMES, "--architecture", "resnet"), "pets", 2, "--architecture is for checkpoints"),
        (NAMES, "a/b", 1, "'a/b' is no name for a model"),
        (NAMES, "yolo-person", 1, "'yolo-person' comes with Tapetum"),
        ((*NAMES, "--sample", "nothing.jpg"), "pets", 1, "nothing.jpg: no such file"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_line_and_nothing_is_written(
    classifier: Path, catalog: Path, options: tuple[str, ...], name: str, status: int, problem: str
):
    result = add(classifier, *options, name=name)
    assert (result.exit_code, result.stdout) == (status, ""), result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ") and problem in last
    assert visible(catalog) == []


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("notes.txt", b"hello", "is neither an ONNX file nor a checkpoint"),
        ("best.onnx", b"", "is empty"),
        ("best.onnx", b"hello", "is no ONNX file"),
        ("best.pth", b"\x80\x02cos\nsystem\n(S'true'\ntR.", ""),
        ("best.safetensors", b"\x05\0\0\0\0\0\0\0{oops", ""),
    ],
)
def test_file_that_is_no_model_is_one_clear_line(
    tmp_path: Path, catalog: Path, file: str, content: bytes, problem: str
):
    (tmp_path / file).write_bytes(content)
    result = add(tmp_path / file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tmp_path / file}: ") and problem in result.stderr
    assert result.stderr.count("\n") == 1
    assert visible(catalog) == []


@pytest.mark.parametrize("name", ["timm/resnet50", "torchvision/resnet18", "yolox/s"])
def test_published_model_needs_no_add(name: str):
    result = add(Path(name))
    assert result.exit_code == 2
    assert f"{name} needs no `add`: it is served by its name, `tapetum serve --model {name}`" in result.stderr


def test_file_larger_than_the_memory_is_refused_before_it_is_read(
    classifier: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.machine.memory.total_memory", lambda: 100)
    result = add(classifier, *NAMES)
    assert result.exit_code == 1 and "this machine has 0 MiB of memory" in result.stderr
    assert visible(catalog) == []


def test_model_that_fails_on_the_sample_is_not_written(tmp_path: Path, catalog: Path):
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "zero"], ["nothing"]),
        helper.make_node("Log", ["nothing"], ["infinite"]),
        helper.make_node("MatMul", ["infinite", "weights"], ["logits"]),
    ]
    constants = {
        "axes": np.array([2, 3]),
        "zero": np.zeros(1, np.float32),
        "weights": np.ones((3, 3), np.float32),
    }
    shape = ("N", 3, SIDE, SIDE)
    path = write_graph(tmp_path / "bad.onnx", nodes, [image(shape)], [("logits", TensorProto.FLOAT)], constants)
    result = add(path, *NAMES)
    assert (result.exit_code, result.stdout) == (1, ""), result.stderr
    assert result.stderr.splitlines()[-1].endswith("nothing was written")
    assert visible(catalog) == []


def test_taken_name_is_refused_unless_it_is_replaced(classifier: Path, catalog: Path):
    assert add(classifier, *NAMES).exit_code == 0
    refused = add(classifier, *NAMES)
    assert refused.exit_code == 1 and "there is a model pets already" in refused.stderr
    assert add(classifier, "--classes", "x,y,z", "--replace").exit_code == 0
    assert find("pets").class_names == ("x", "y", "z")
    assert visible(catalog) == ["pets.jpg", "pets.json", "pets.onnx"]


def test_further_version_of_a_bundled_model_is_added_and_removed(classifier: Path, catalog: Path):
    assert add(classifier, *NAMES, name="efficientnet-lite0@2").exit_code == 0
    assert (find("efficientnet-lite0").version, find("efficientnet-lite0@1").version) == ("2", "1")
    assert run("remove", "efficientnet-lite0@2", "--yes").exit_code == 0
    assert visible(catalog) == []


def test_removal_names_the_files_and_wants_to_be_confirmed(classifier: Path, catalog: Path):
    assert add(classifier, *NAMES).exit_code == 0
    asked = run("remove", "pets")
    assert asked.exit_code == 2
    assert str(catalog / "pets.onnx") in asked.stderr and "say --yes" in asked.stderr
    assert run("remove", "pets", "--yes").stdout == "pets is removed\n"
    assert visible(catalog) == []


def test_renamed_model_is_found_by_its_new_name_and_loads(classifier: Path, catalog: Path):
    assert add(classifier, *NAMES).exit_code == 0
    result = run("rename", "pets", "animals")
    assert (result.exit_code, result.stdout) == (0, f"{catalog / 'animals.json'}\n")
    assert load("animals").class_names == CLASSES
    assert json.loads((catalog / "animals.json").read_text())["weights"]["file"] == "animals.onnx"
    assert visible(catalog) == ["animals.jpg", "animals.json", "animals.onnx"]
    assert read_card(catalog / "animals.json").name == "animals"


@pytest.mark.parametrize("command", [("remove", "yolo-person", "--yes"), ("rename", "yolo-person", "mine")])
def test_bundled_model_is_neither_removed_nor_renamed(command: tuple[str, ...]):
    result = run(*command)
    assert result.exit_code == 1
    assert "yolo-person comes with Tapetum; only models of your own" in result.stderr


def test_unknown_model_is_neither_removed_nor_renamed():
    result = run("remove", "pest")
    assert result.exit_code == 2 and "there is no model 'pest'" in result.stderr
