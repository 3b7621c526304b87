"""Exporting models to a Triton model repository: the graph computes what the adapter does, or nothing is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from torch import Tensor, nn
from tritonclient.grpc import model_config_pb2 as protobuf
from typer.testing import CliRunner

from models.catalog.lookup import find
from models.errors import ExportError
from models.export import agreement, onnx_network
from models.export.captured_network import capture
from models.export.naming import server_model
from models.export.onnx_network import OnnxExecutor
from models.export.triton_repository import RepositoryOptions, export_model
from models.segmentation import architectures
from services.cli import app
from tests.unit.classifier_cards import write_classifier
from tests.unit.segmenter_cards import write_segmenter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("one_thread", "catalog")]

messages: Any = protobuf  # its classes are made at import, which pyright does not see
CLASSIFIER, SEGMENTER, INSTANCES = "names-anything", "small-unet", "small-mask-rcnn"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("catalog")
    write_classifier(folder, CLASSIFIER)
    write_segmenter(folder, "unet", SEGMENTER)
    write_segmenter(folder, "mask-rcnn-efficientnet-lite0", INSTANCES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAPETUM_CATALOG", str(folder))
        yield folder


@pytest.fixture(scope="module")
def repository(catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a classifier for the onnxruntime backend, and a segmenter for the python backend."""
    assert catalog.is_dir()
    folder = tmp_path_factory.mktemp("repository") / "new"
    result = CliRunner().invoke(
        app, ["export", "triton", str(folder), CLASSIFIER, "--instances", "2", "--threads", "1"]
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(rf"{CLASSIFIER}/1: largest difference \S+e-\d\d at outputs of up to ", result.stdout)
    export_model(SEGMENTER, folder, RepositoryOptions("python", max_batch_size=4))
    return folder


def config_of(folder: Path, name: str) -> Any:
    text = (folder / name / "config.pbtxt").read_text()
    return text_format.Parse(text, messages.ModelConfig())


def test_configuration_of_the_onnxruntime_backend(repository: Path):
    config = config_of(repository, CLASSIFIER)
    assert (config.name, config.backend, config.max_batch_size) == (CLASSIFIER, "onnxruntime", 16)
    (source,), (output,) = config.input, config.output
    assert (source.name, source.data_type, list(source.dims)) == ("pixels", messages.TYPE_UINT8, [64, 64, 3])
    assert (output.name, output.data_type, list(output.dims)) == ("output_0", messages.TYPE_FP32, [3])
    assert config.HasField("dynamic_batching")
    assert config.version_policy.HasField("all")
    assert [group.count for group in config.instance_group] == [2]
    assert config.parameters["intra_op_thread_count"].string_value == "1"
    (warm_up,) = config.model_warmup
    assert list(warm_up.inputs["pixels"].dims) == [64, 64, 3]
    assert sorted(path.name for path in (repository / CLASSIFIER / "1").iterdir()) == ["model.onnx"]


def test_configuration_of_the_python_backend_has_inputs_of_any_size(repository: Path):
    config = config_of(repository, SEGMENTER)
    assert (config.backend, config.max_batch_size) == ("python", 4)
    assert (list(config.input[0].dims), list(config.output[0].dims)) == ([-1, -1, 3], [3, -1, -1])
    files = sorted(path.name for path in (repository / SEGMENTER / "7").iterdir())
    assert files == ["model.onnx", "model.py"], "the version of the card is the version folder"


def test_graphs_are_valid_onnx(repository: Path):
    for path in repository.rglob("model.onnx"):
        onnx.checker.check_model(path)


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (3, 32, 64, 3), (2, 64, 32, 3)])
def test_graph_computes_what_the_network_does_for_every_batch_and_size(repository: Path, shape: tuple[int, ...]):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    reference = capture(SEGMENTER).executor.run(pixels)
    found = OnnxExecutor(repository / SEGMENTER / "7" / "model.onnx").run(pixels)
    assert float((found - reference).abs().max()) <= 1e-5 * float(reference.abs().max())


def test_first_stage_of_mask_rcnn_is_exported(tmp_path: Path):
    done = export_model(INSTANCES, tmp_path)
    assert done.agreement.relative < 1e-4
    outputs = [list(output.dims) for output in config_of(tmp_path, INSTANCES).output]
    assert outputs == [[16, -1, -1]] * 3 + [[6, -1, -1]] * 3 + [[24, -1, -1]] * 3


def test_version_that_is_there_is_kept(repository: Path):
    before = (repository / CLASSIFIER / "1" / "model.onnx").stat()
    with pytest.raises(ExportError, match="exists; delete it first"):
        export_model(CLASSIFIER, repository)
    assert (repository / CLASSIFIER / "1" / "model.onnx").stat() == before


def test_network_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agreement, "TOLERANCE", 0.0)
    with pytest.raises(ExportError, match=r"the exported network differs by .* nothing was written"):
        export_model(CLASSIFIER, tmp_path)
    assert list(tmp_path.iterdir()) == []


class Undecided(nn.Module):
    """A network with data-dependent control flow."""

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(3, class_count, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(images) if images.sum() > 0 else -self.classifier(images)


def test_network_that_cannot_be_exported_is_refused_by_name(
    tmp_path: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(architectures._BUILDERS, "unet", ("semantic", lambda class_count, **_: Undecided(class_count)))
    write_segmenter(catalog, "unet", "undecided")
    result = CliRunner().invoke(app, ["export", "triton", str(tmp_path), "undecided"])
    assert result.exit_code == 1
    assert "error: undecided: torch cannot export the network" in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_model_without_a_network_is_refused(tmp_path: Path):
    with pytest.raises(ExportError, match="noop: has no network"):
        export_model("noop", tmp_path)


def test_missing_packages_are_named_with_their_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(onnx_network, "PACKAGES", ("onnx", "no_such_exporter"))
    result = CliRunner().invoke(app, ["export", "triton", str(tmp_path), CLASSIFIER])
    assert result.exit_code == 1
    assert "exporting needs no_such_exporter: pip install 'tapetum[export]'" in result.stderr


def test_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["export", "triton", str(tmp_path / "file" / "repository"), CLASSIFIER])
    assert result.exit_code == 1
    assert "not a directory" in result.stderr


def test_names_of_models_are_names_of_folders():
    assert server_model(find(CLASSIFIER)) == (CLASSIFIER, "1"), "1.0 is no version folder"
    assert server_model(find("yolox/s")) == ("yolox-s", "1")
