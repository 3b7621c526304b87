"""Bundled models that are exported to ONNX files and added as cards give the predictions of the originals."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from models.catalog.loading import load
from models.export.agreement import photo_batches
from models.export.captured_network import capture
from models.export.onnx_network import export_onnx
from models.predictions import Classification, Detections
from models.runtime import Backend, Runtime
from tests.photos import encoded, photo
from tests.unit.onnx_files import write_card

pytest.importorskip("onnxruntime")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread", "catalog")]

TWINS = {"efficientnet-lite0": "logits", "yolo-person": "yolox-maps"}
"""Models, and the layouts of their outputs."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory):
    """A folder with a card NAME-onnx for each of them."""
    folder = tmp_path_factory.mktemp("catalog")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAPETUM_CATALOG", str(folder))
        patch.setenv("TORCH_HOME", str(folder / "torch"))
        for name, layout in TWINS.items():
            captured = capture(name)
            path = folder / f"{name}-onnx.onnx"
            export_onnx(captured, photo_batches(captured.adapter)[0], path)
            entry = captured.adapter.entry
            described = {"task": entry.task, "preprocessing": asdict(entry.preprocessing), "defaults": entry.defaults}
            write_card(path, outputs=layout, class_names=captured.adapter.class_names, **described)
        yield folder


@pytest.fixture
def photos() -> list[bytes]:
    return [encoded(photo(name), "JPEG") for name in ("astronaut", "chelsea")]


def both(name: str, backend: Backend, photos: list[bytes]):
    original, twin = load(name, Runtime("cpu", "fp32")), load(f"{name}-onnx", Runtime("cpu", "fp32", backend=backend))
    assert twin.runtime.backend == backend
    return original.predict(photos), twin.predict(photos)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_classes_are_those_of_the_original(backend, photos):
    for expected, found in zip(*both("efficientnet-lite0", backend, photos), strict=True):
        assert isinstance(expected, Classification) and isinstance(found, Classification)
        assert found.class_ids.tolist() == expected.class_ids.tolist()
        np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=1e-3)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_boxes_are_those_of_the_original(backend, photos):
    expected, found = (each[0] for each in both("yolo-person", backend, photos))
    assert isinstance(expected, Detections) and isinstance(found, Detections)
    assert len(found.boxes) == len(expected.boxes) > 0
    ious = box_iou(torch.from_numpy(found.boxes), torch.from_numpy(expected.boxes)).diagonal()
    assert ious.min() >= 0.99
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)


def test_files_of_twins_are_the_only_ones_beside_their_cards(catalog: Path):
    names = {path.name for path in catalog.iterdir() if path.is_file()}
    assert names == {f"{name}-onnx{suffix}" for name in TWINS for suffix in (".json", ".onnx")}
