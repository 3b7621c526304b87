"""torchvision's segmenters answer as torchvision itself does, but for the resize, which is ours."""

from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models
from PIL import Image
from torch import nn
from torch.nn.functional import interpolate

from models.catalog.loading import load
from models.catalog.lookup import find
from models.detection.torchvision_detector_networks import build_torchvision_detector, without_version
from models.entries import LetterboxPreprocessing
from models.errors import UnknownModel, WeightsCorrupt
from models.execution.executor import Executor
from models.parameters import SegmentationParameters
from models.runtime import Runtime, cpu_has_bf16
from models.segmentation.torchvision_segmenter_networks import ClassScores, build_torchvision_segmenter
from models.sources.torchvision_manifest import PATH, torchvision_builders
from models.sources.torchvision_weights import find_weights
from models.sources.weights_files import load_into, locate
from tests.photos import encoded
from tests.unit.untrained_networks import as_published, settle_norms

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PLAIN = Runtime(precision="fp32", fuse=False, channels_last=False)
FP32 = Runtime(precision="fp32")
LRASPP = "lraspp_mobilenet_v3_large"
SEMANTIC = ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50", LRASPP)
INSTANCE = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
IMAGENET = LetterboxPreprocessing(64, 96, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375), stride=1)


def noise(height: int, width: int, count: int = 1) -> np.ndarray:
    """Random colours, each on 16 × 16 pixels."""
    small = np.random.default_rng(4).integers(0, 256, (count, height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(small.repeat(16, 1).repeat(16, 2)[:, :height, :width])


def untrained(builder: str) -> Any:
    """A network whose classes differ from place to place, whatever its depth."""
    torch.manual_seed(3)
    network: Any = build_torchvision_segmenter(find_weights(f"torchvision/{builder}"), builder)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.inference_mode():
        network.train()(normalised(noise(64, 96, 2)))
        network.eval()
        scores = network(normalised(noise(64, 96)))["out"]
        last = network.classifier.low_classifier if builder == LRASPP else network.classifier[-1]
        last.bias -= scores.mean((0, 2, 3))
    return network


def normalised(pixels: np.ndarray) -> torch.Tensor:
    images = (torch.from_numpy(pixels).float() - torch.tensor(IMAGENET.mean)) / torch.tensor(IMAGENET.std)
    return images.permute(0, 3, 1, 2)


@pytest.mark.parametrize("builder", SEMANTIC)
def test_class_scores_are_those_of_torchvision_however_they_are_computed(builder):
    network, pixels = untrained(builder), noise(63, 96, 2)
    with torch.inference_mode():
        expected = network(normalised(pixels))["out"]
    tolerances = {PLAIN: 1e-4, FP32: 1e-3}
    if cpu_has_bf16() and "resnet50" not in builder:  # fifty layers that nobody trained make much of little
        tolerances[Runtime(precision="bf16")] = 0.15
    scores = ClassScores(network).eval()
    for runtime, tolerance in tolerances.items():
        coarse = Executor(scores, IMAGENET, runtime).run(pixels)
        stride = 16 if builder == "deeplabv3_mobilenet_v3_large" else 8
        assert coarse.shape == (2, 21, 64 // stride, 96 // stride) and coarse.dtype == torch.float32
        found = interpolate(coarse, (63, 96), mode="bilinear", align_corners=False)
        assert float((found - expected).square().mean().sqrt()) <= tolerance * float(expected.std()), runtime


def test_the_auxiliary_head_of_training_is_dropped():
    network = ClassScores(untrained("fcn_resnet50"))
    assert not any("aux" in name for name in network.state_dict())


@pytest.mark.parametrize("builder", torchvision_builders("segmentation"))
def test_every_published_state_dict_has_its_place(builder, monkeypatch):
    name = f"torchvision/{builder}"
    build = build_torchvision_detector if builder in INSTANCE else build_torchvision_segmenter
    with torch.device("meta"):
        published = as_published(name, monkeypatch).state_dict()
        ours = build(find_weights(name), builder).state_dict()
    filled_in = {key for key in ours if key.endswith("num_batches_tracked")}
    assert published.keys() - filled_in == ours.keys() - filled_in
    assert all(ours[key].shape == value.shape for key, value in published.items())


def test_ordinary_norms_do_what_frozen_ones_did(monkeypatch):
    """The first Mask R-CNN was trained without an epsilon, which shows where a variance is small."""
    name = "torchvision/maskrcnn_resnet50_fpn"
    published = as_published(name, monkeypatch)
    dict(published.named_buffers())["backbone.body.bn1.running_var"].uniform_(1e-5, 2e-5)
    network: Any = build_torchvision_detector(find_weights(name), "maskrcnn_resnet50_fpn")
    load_into(network, without_version(published.state_dict()), find(name), PATH)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        levels, expected = network.eval().backbone(images).values(), published.backbone(images).values()
    for one, other in zip(levels, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_every_segmenter_of_torchvision_can_be_asked_for_by_name():
    semantic = torchvision.models.list_models(module=torchvision.models.segmentation)
    assert sorted((*INSTANCE, *semantic)) == list(torchvision_builders("segmentation"))
    assert not set(torchvision_builders("segmentation")) & set(torchvision_builders("detection"))


@pytest.mark.parametrize("builder", torchvision_builders("segmentation"))
def test_class_names_are_those_of_coco_or_pascal_voc(builder):
    class_names = find(f"torchvision/{builder}").class_names
    assert class_names is not None
    if builder in INSTANCE:
        assert class_names == find("torchvision/fasterrcnn_resnet50_fpn").class_names
    else:
        assert (len(class_names), class_names[0], class_names[15]) == (21, "__background__", "person")


def test_a_semantic_entry_has_the_presets_own_preprocessing():
    entry = find("torchvision/deeplabv3_resnet50@COCO_WITH_VOC_LABELS_V1")
    preset: Any = find_weights(entry.name).transforms()
    preprocessing: Any = entry.preprocessing
    assert (entry.task, entry.segmentation, entry.defaults) == ("segmentation", "semantic", {})
    assert [preprocessing.short_side] == preset.resize_size and preprocessing.long_side == 3 * 520
    assert preprocessing.mean == pytest.approx([255 * channel for channel in preset.mean])
    assert preprocessing.std == pytest.approx([255 * channel for channel in preset.std])
    assert preprocessing.antialias and preprocessing.keep_aspect and preprocessing.tile is None
    assert [(figure.metric, figure.value) for figure in entry.accuracy] == [("miou", 0.664), ("pixel_accuracy", 0.924)]


def test_an_instance_entry_has_the_networks_own_preprocessing_and_figures():
    entry = find("torchvision/maskrcnn_resnet50_fpn_v2")
    preprocessing: Any = entry.preprocessing
    assert (entry.task, entry.segmentation) == ("segmentation", "instance")
    assert (preprocessing.short_side, preprocessing.long_side, preprocessing.antialias) == (800, 1333, False)
    assert [(figure.metric, figure.value) for figure in entry.accuracy] == [("map", 0.418), ("box_map", 0.474)]
    assert entry.defaults == {"score_threshold": 0.5, "max_detections": 100}


@pytest.mark.parametrize("name", ["torchvision/fcn_resnet50@V9", "torchvision/nothing", "unet"])
def test_other_names_are_not_known(name):
    with pytest.raises(UnknownModel):
        find_weights(name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("builder", [LRASPP, "deeplabv3_mobilenet_v3_large"])
def test_a_semantic_model_is_loaded_by_name_and_sees_what_torchvision_sees(builder):
    """In a photo of the preset's own size, so that nothing is resized."""
    name = f"torchvision/{builder}"
    network = untrained(builder)
    torch.save(network.state_dict(), locate(find(name)))
    adapter = load(name, FP32)
    image = Image.fromarray(noise(520, 533)[0])
    (found,) = adapter.predict([encoded(image, "PNG")])
    with torch.inference_mode():
        expected = network(find_weights(name).transforms()(image)[None])["out"][0].argmax(0).numpy()
    assert len(np.unique(expected)) > 3
    assert (found.class_map == expected).mean() > 0.999
    assert found.class_ids.tolist() == [number for number in np.unique(found.class_map) if number]
    assert adapter.class_names == find(name).class_names


@pytest.mark.usefixtures("hub")
def test_an_instance_model_is_loaded_by_name_and_sees_what_torchvision_sees():
    """In a photo that is as long as the published preprocessing makes it, so that nothing is resized."""
    name = "torchvision/maskrcnn_resnet50_fpn"
    torch.manual_seed(7)
    network: Any = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    pixels = noise(16, 1333)
    settle_norms(network, pixels)
    with torch.no_grad():
        network.roi_heads.box_predictor.cls_score.bias[0] = 3
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    torch.save(network.state_dict(), locate(find(name)))
    (found,) = load(name, PLAIN).predict([encoded(Image.fromarray(pixels[0]), "PNG")], SegmentationParameters(0.05))
    with torch.inference_mode():
        (wanted,) = network([torch.from_numpy(pixels[0]).permute(2, 0, 1) / 255])
    assert len(wanted["scores"]) > 10
    assert np.mean(found.class_ids == wanted["labels"].numpy()) > 0.9
    assert found.scores.tolist() == pytest.approx(wanted["scores"].tolist(), abs=5e-3)
    expected = (wanted["masks"][0, 0] > 0.5).numpy()
    assert expected.any() and (found.masks[0].to_array() == expected).mean() > 0.999


@pytest.mark.usefixtures("hub")
def test_another_networks_weights_are_refused():
    torch.save({"a": torch.zeros(1)}, locate(find(f"torchvision/{LRASPP}")))
    with pytest.raises(WeightsCorrupt, match="another network's weights"):
        load(f"torchvision/{LRASPP}")
