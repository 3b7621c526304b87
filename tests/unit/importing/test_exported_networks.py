"""Networks that are exported to ONNX are recognised, and their decoded outputs equal those of the adapters in torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn, maskrcnn_resnet50_fpn
from torchvision.ops import box_iou

from models.classification.efficientnet_lite import EfficientNetLite
from models.detection.architectures import build_detector
from models.detection.yolox import Yolox
from models.detection.yolox_candidates import candidates_from
from models.importing.onnx_file import inspect_onnx
from models.outputs.layouts import LAYOUTS
from models.segmentation.architectures import build_segmenter
from tests.unit.untrained_networks import rescale, spread

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

SIDE = 96


def export(network: nn.Module, example: Tensor, path: Path, names: Sequence[str], *, traced: bool = False) -> Path:
    """By torch's exporter, or by its older one, which also takes torchvision's detectors."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if traced:
            torch.onnx.export(
                network, (example,), path, dynamo=False, opset_version=17, input_names=["images"], output_names=names
            )
        else:
            program: Any = torch.onnx.export(
                network, (example,), dynamo=True, input_names=["images"], output_names=names, verbose=False
            )
            program.save(path)
    return path


def run(path: Path, images: Tensor) -> list[Tensor]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(np.asarray(output)) for output in session.run(None, {"images": images.numpy()})]


def photo(count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.nn.functional.interpolate(torch.rand(count, 3, 12, 12, generator=generator), size=(SIDE, SIDE))


class OfficialYolox(nn.Module):
    """A YOLOX as the official code exports it: rows of the grid, probabilities, boxes not decoded."""

    def __init__(self, network: Yolox) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        rows = torch.cat([level.flatten(2).transpose(1, 2) for level in self.network(images)], 1)
        return torch.cat([rows[..., :4], rows[..., 4:].sigmoid()], 2)


@pytest.fixture(scope="module")
def yolox() -> Yolox:
    torch.manual_seed(5)
    network = build_detector("yolox-nano", 3, {}).eval()
    assert isinstance(network, Yolox)
    for layer in (*network.head.obj_preds, *network.head.cls_preds):
        layer.register_forward_hook(lambda layer, _, output: rescale(layer, output, -2.0, 2.0))
    for layer in network.head.reg_preds:
        layer.register_forward_hook(lambda layer, _, output: rescale(layer, output, 0.5, 0.5))
    with torch.inference_mode():
        network(photo())
    for layer in network.head.cls_preds:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        layer.bias.data += torch.tensor([0.0, 0.3, 0.7])  # no two classes of a cell have equal scores
    return network


def assert_same_boxes(found: Any, expected: Any) -> None:
    """Same scores and classes in the same order, and boxes of an IoU of at least 0.99."""
    assert len(found) == len(expected) > 0
    mine, theirs = found.scores.argsort(descending=True), expected.scores.argsort(descending=True)
    assert float((found.scores[mine] - expected.scores[theirs]).abs().max()) < 1e-4
    overlaps = box_iou(expected.boxes, found.boxes)
    overlaps[expected.class_ids[:, None] != found.class_ids] = 0
    assert float(overlaps.amax(1).nan_to_num(1).min()) >= 0.99


def test_official_export_of_yolox(yolox: Yolox, tmp_path: Path):
    images = photo(1)
    path = export(OfficialYolox(yolox), images, tmp_path / "yolox.onnx", ["output"])
    found = inspect_onnx(path)
    assert (found.outputs[0], found.class_count, found.input_size) == ("yolox", 3, (SIDE, SIDE))
    decoded = LAYOUTS["yolox"].decode(run(path, images), (SIDE, SIDE), 3)
    with torch.inference_mode():
        expected = candidates_from(yolox(images))
    assert_same_boxes(decoded[0], expected[0])


def test_raw_maps_of_yolox(yolox: Yolox, tmp_path: Path):
    images = photo(1)
    path = export(yolox, images, tmp_path / "maps.onnx", ["a", "b", "c"])
    found = inspect_onnx(path)
    assert (found.outputs, found.class_count) == (("yolox-maps",), 3)
    decoded = LAYOUTS["yolox-maps"].decode(run(path, images), (SIDE, SIDE), 3)
    with torch.inference_mode():
        expected = candidates_from(yolox(images))
    assert_same_boxes(decoded[0], expected[0])


def test_unet(tmp_path: Path):
    torch.manual_seed(1)
    network, images = build_segmenter("unet", 3, {"width": 4}).eval(), photo(2)
    path = export(network, images, tmp_path / "unet.onnx", ["classes"])
    found = inspect_onnx(path)
    assert (found.kinds, found.outputs, found.class_count) == (("semantic",), ("class-logits",), 3)
    with torch.inference_mode():
        expected = network(images)
    decoded = LAYOUTS["class-logits"].decode(run(path, images), (SIDE, SIDE), 3)
    torch.testing.assert_close(decoded, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("softmax", "layout"), [(False, "logits"), (True, "probabilities")])
def test_efficientnet(tmp_path: Path, softmax: bool, layout: str):
    torch.manual_seed(1)
    network, images = EfficientNetLite(7).eval(), photo(2)
    exported = nn.Sequential(network, nn.Softmax(1)) if softmax else network
    path = export(exported, images, tmp_path / "net.onnx", ["classes"])
    found = inspect_onnx(path)
    assert (found.kinds, found.outputs, found.class_count) == (("classification",), (layout,), 7)
    with torch.inference_mode():
        expected = network(images).softmax(1)
    decoded = LAYOUTS[layout].decode(run(path, images), (SIDE, SIDE), 7)
    torch.testing.assert_close(decoded.softmax(1), expected, rtol=1e-4, atol=1e-5)


def test_faster_rcnn_of_torchvision(tmp_path: Path):
    torch.manual_seed(2)
    images = photo()
    network = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=4).eval()
    network = spread(network, (images.permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy())
    heads: Any = network.roi_heads
    heads.detections_per_img, heads.score_thresh = 100, 0.05
    path = export(network, images, tmp_path / "faster.onnx", ["boxes", "labels", "scores"], traced=True)
    found = inspect_onnx(path)
    assert (found.kinds, found.outputs) == (("detection",), ("torchvision",))
    assert found.normalisation == ((0.0,) * 3, (255.0,) * 3), "it normalises pixels from 0 to 1 itself"
    (decoded,) = LAYOUTS["torchvision"].decode(run(path, images), (SIDE, SIDE), 3)
    with torch.inference_mode():
        (expected,) = network(list(images))
    assert len(decoded) == len(expected["scores"]) > 0
    torch.testing.assert_close(decoded.boxes, expected["boxes"], rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(decoded.scores, expected["scores"], rtol=1e-3, atol=1e-4)
    assert decoded.class_ids.tolist() == (expected["labels"] - 1).tolist()


def test_mask_rcnn_of_torchvision(tmp_path: Path):
    torch.manual_seed(2)
    images = photo()
    network = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=4, min_size=SIDE, max_size=SIDE
    ).eval()
    network = spread(network, (images.permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy())
    heads: Any = network.roi_heads
    heads.detections_per_img, heads.score_thresh = 20, 0.05
    names = ["boxes", "labels", "scores", "masks"]
    path = export(network, images, tmp_path / "mask.onnx", names, traced=True)
    found = inspect_onnx(path)
    assert (found.kinds, found.outputs) == (("instance",), ("torchvision-masks",))
    (decoded,) = LAYOUTS["torchvision-masks"].decode(run(path, images), (SIDE, SIDE), 3)
    with torch.inference_mode():
        (expected,) = network(list(images))
    kept = expected["scores"] >= 0.05
    assert 0 < len(decoded.objects) <= int(kept.sum())
    cells = decoded.masks_of(torch.arange(len(decoded.objects)))
    assert cells.shape[0] == len(decoded.objects)
    assert 0 <= float(cells.min()) <= float(cells.max()) <= 1
