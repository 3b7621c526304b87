"""Exporting a model as one ONNX file: it computes what the adapter does and says what it is, or nothing is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner, Result

from models.catalog.lookup import find
from models.export import onnx_model
from models.export.agreement import Agreement
from models.importing.onnx_file import inspect_onnx
from services.cli import app
from tests.unit.classifier_cards import write_classifier
from tests.unit.detector_cards import write_detector
from tests.unit.segmenter_cards import write_segmenter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("one_thread", "catalog")]

CLASSIFIER, DETECTOR, SEGMENTER, INSTANCES = "names-anything", "finds-anything", "small-unet", "small-mask-rcnn"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("catalog")
    write_classifier(folder, CLASSIFIER)
    write_detector(folder, DETECTOR)
    write_segmenter(folder, "unet", SEGMENTER)
    write_segmenter(folder, "mask-rcnn-efficientnet-lite0", INSTANCES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAPETUM_CATALOG", str(folder))
        yield folder


def export(name: str, path: Path) -> Result:
    return CliRunner().invoke(app, ["export", "onnx", name, "--output", str(path)])


def metadata_of(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}


@pytest.mark.parametrize(
    ("name", "outputs"), [(CLASSIFIER, "logits"), (DETECTOR, "yolox-maps"), (SEGMENTER, "class-logits")]
)
def test_file_says_what_its_model_is(tmp_path: Path, name: str, outputs: str):
    result = export(name, tmp_path / "model.onnx")
    assert (result.exit_code, result.exception) == (0, None), result.stderr
    assert "model.onnx: largest difference " in result.stdout
    assert f"its outputs are {outputs}; `tapetum models add " in result.stderr
    entry, found = find(name), inspect_onnx(tmp_path / "model.onnx")
    assert (found.kinds, found.outputs, found.class_names) == ((entry.kind,), (outputs,), entry.class_names)
    assert found.preprocessing == replace(entry.preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_two_stage_network_is_exported_and_the_command_says_what_is_missing(tmp_path: Path):
    result = export(INSTANCES, tmp_path / "model.onnx")
    assert result.exit_code == 0, result.stderr
    assert "its outputs are raw: the second stage" in result.stderr
    assert "layout" not in metadata_of(tmp_path / "model.onnx")


def test_file_that_exists_is_not_overwritten(tmp_path: Path):
    (tmp_path / "model.onnx").write_bytes(b"mine")
    result = export(CLASSIFIER, tmp_path / "model.onnx")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "model.onnx exists; delete it first, or choose another --output" in result.stderr
    assert (tmp_path / "model.onnx").read_bytes() == b"mine"


def test_network_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_model, "compare", lambda *_: Agreement(1.0, 2.0, 0.5))
    result = export(CLASSIFIER, tmp_path / "model.onnx")
    assert result.exit_code == 1
    assert "differs by 0.5 of its largest output" in result.stderr
    assert list(tmp_path.iterdir()) == []
