"""torchvision's detectors answer as torchvision itself does, but for the resize, which is ours."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models
from PIL import Image

from models.catalog.loading import load
from models.catalog.lookup import find
from models.detection.candidates import MAX_CANDIDATES, SCORE_FLOOR
from models.detection.coco_classes import COCO_CATEGORY_IDS, COCO_CLASSES
from models.detection.lite_faster_rcnn import build_faster_rcnn_lite
from models.detection.selection import are_boxes, iou, select
from models.detection.torchvision_detector_networks import (
    build_torchvision_detector,
    without_version,
)
from models.detection.torchvision_detectors import TorchvisionCandidates
from models.entries import LetterboxPreprocessing
from models.execution.precision import TOLERANCES
from models.parameters import DetectionParameters
from models.runtime import Runtime, cpu_has_bf16
from models.sources.torchvision_manifest import PATH, torchvision_builders
from models.sources.torchvision_weights import find_weights
from models.sources.weights_files import load_into, locate
from tests.photos import encoded
from tests.unit.untrained_networks import (
    as_published,
    layers_to_spread,
    rescale,
    settle_norms,
    spread,
    torchvisions_own,
)

PLAIN = Runtime(precision="fp32", fuse=False, channels_last=False)
FEW_PROPOSALS = {"rpn_post_nms_top_n_test": 50, "rpn_pre_nms_top_n_test": 100}
SIDES = (96, 160)
FASTER = "fasterrcnn_mobilenet_v3_large_320_fpn"
ONE_OF_EACH_KIND = (
    FASTER,
    "fasterrcnn_resnet50_fpn_v2",
    "retinanet_resnet50_fpn_v2",
    "fcos_resnet50_fpn",
    "ssdlite320_mobilenet_v3_large",
)


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@cache
def untrained(builder, **options) -> Any:
    """A network of random weights that finds a few hundred things all over noise, some of them twice."""
    torch.manual_seed(7)
    if builder.startswith("fasterrcnn"):
        options |= FEW_PROPOSALS
    if "ssd" not in builder:
        options |= {"min_size": SIDES[0], "max_size": SIDES[1]}
    network = torchvision.models.get_model(
        builder, weights=None, weights_backbone=None, **{"num_classes": 4, **options}
    ).eval()
    settle_norms(network, pixels_for(builder, 4))
    return spread(network, pixels_for(builder, 1))


def pixels_for(builder, count=2):
    size = (300, 300) if builder == "ssd300_vgg16" else (320, 320) if builder.startswith("ssdlite") else (SIDES[0], 139)
    return np.random.default_rng(4).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def preprocessing_of(builder) -> Any:
    published: Any = find(f"torchvision/{builder}").preprocessing
    return published if "ssd" in builder else replace(published, short_side=SIDES[0], long_side=SIDES[1])


def share_found(kept, wanted):
    """The share of torchvision's boxes with an area that are ours too; rounding turns a suppression now and then."""
    wanted_ones = are_boxes(wanted["boxes"])
    near = (kept.boxes[:, None] - wanted["boxes"]).abs().amax(2) < 0.05
    alike = (kept.scores[:, None] - wanted["scores"]).abs() < 1e-4
    found = (near & alike & (kept.class_ids[:, None] == wanted["labels"])).any(0)
    return float(found[wanted_ones].float().mean())


@pytest.mark.parametrize("builder", ONE_OF_EACH_KIND)
def test_boxes_are_those_of_torchvision(builder):
    """At the score of the 100th candidate, so that neither side cuts off before suppression."""
    network, pixels = untrained(builder), pixels_for(builder)
    candidates = TorchvisionCandidates(network, preprocessing_of(builder), PLAIN).candidates(pixels)
    score_threshold = float(candidates[0].scores.sort(descending=True).values[100])
    expected = torchvisions_own(network, pixels, score_threshold, 0.5)
    for found, wanted in zip(candidates, expected, strict=True):
        assert len(found) <= MAX_CANDIDATES and float(found.scores.min()) >= SCORE_FLOOR
        kept = select(found, DetectionParameters(score_threshold, 0.5, 1000))
        assert len(wanted["boxes"]) > 20
        assert share_found(kept, wanted) >= 0.97
        assert len(kept) <= len(wanted["boxes"]) + 1


def best_of(candidates, count=20):
    kept = select(candidates, DetectionParameters(0.0, 0.5, count))
    return kept.boxes, kept.scores, kept.class_ids


@pytest.mark.parametrize("builder", [FASTER, "fasterrcnn_resnet50_fpn_v2", "ssdlite320_mobilenet_v3_large"])
def test_default_backend_changes_nothing(builder):
    network, pixels = untrained(builder), pixels_for(builder, 1)
    preprocessing = preprocessing_of(builder)
    (plain,) = TorchvisionCandidates(network, preprocessing, PLAIN).candidates(pixels)
    runtime = Runtime(precision="fp32").resolve()
    (found,) = TorchvisionCandidates(network, preprocessing, runtime).candidates(pixels)
    for one, other in zip(best_of(found), best_of(plain), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=5e-2)


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16 arithmetic")
def test_bf16_sees_the_same_things():
    builder = "retinanet_resnet50_fpn_v2"
    network, pixels, preprocessing = untrained(builder), pixels_for(builder, 1), preprocessing_of(builder)
    boxes, scores, class_ids = best_of(TorchvisionCandidates(network, preprocessing, PLAIN).candidates(pixels)[0])
    rough = TorchvisionCandidates(network, preprocessing, Runtime(precision="bf16")).candidates(pixels)[0]
    overlaps = iou(boxes, rough.boxes) * (class_ids[:, None] == rough.class_ids)
    near = (scores[:, None] - rough.scores).abs() < 0.1
    assert rough.boxes.dtype == rough.scores.dtype == torch.float32
    assert float(((overlaps > 0.8) & near).any(1).float().mean()) >= 0.8


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16 arithmetic")
@pytest.mark.parametrize("fuse", [True, False])
def test_both_stages_run_in_bf16_and_say_where_in_float32(fuse, monkeypatch):
    """Which of many like proposals are looked at depends on rounding, so that no more can be said without training."""
    monkeypatch.setitem(TOLERANCES, "bf16", 0.5)  # without training, rounding changes more
    wrapped = TorchvisionCandidates(untrained(FASTER), preprocessing_of(FASTER), Runtime(precision="bf16", fuse=fuse))
    (found,) = wrapped.candidates(pixels_for(FASTER, 1))
    assert len(found) > 20 and found.boxes.dtype == found.scores.dtype == torch.float32
    # bfloat16 counts in steps of a quarter of a pixel from 32 on.
    assert float((found.boxes * 4 - (found.boxes * 4).round()).abs().mean()) > 0.1


def test_an_image_is_seen_alike_alone_and_in_a_batch():
    network, pixels = untrained(FASTER), pixels_for(FASTER, 3)
    wrapped = TorchvisionCandidates(network, preprocessing_of(FASTER), PLAIN)
    together, alone = wrapped.candidates(pixels)[1], wrapped.candidates(pixels[1:2])[0]
    for one, other in zip(best_of(together), best_of(alone), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-2)


def test_a_letterboxed_detector_is_normalised_as_its_entry_says():
    """The two stages upon another backbone, for which torchvision itself is told the same normalisation."""
    torch.manual_seed(5)
    network: Any = build_faster_rcnn_lite(2, width=16, region_width=16).eval()
    network.transform.image_mean, network.transform.image_std = [127 / 255] * 3, [128 / 255] * 3
    network.transform.min_size, network.transform.max_size = (96,), 160
    for layer, wanted in layers_to_spread(network):
        layer.register_forward_hook(lambda layer, _, output, wanted=wanted: rescale(layer, output, *wanted))
    pixels = np.random.default_rng(6).integers(0, 256, (1, 96, 160, 3), dtype=np.uint8)
    torchvisions_own(network, pixels, 0.05, 0.5)
    preprocessing = LetterboxPreprocessing(160, 160, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0))
    (found,) = TorchvisionCandidates(network, preprocessing, PLAIN, first_label=1).candidates(pixels)
    (wanted,) = torchvisions_own(network, pixels, 0.3, 0.5)
    wanted["labels"] = wanted["labels"] - 1
    assert len(wanted["boxes"]) > 10
    assert share_found(select(found, DetectionParameters(0.3, 0.5, 1000)), wanted) >= 0.97


def test_class_ids_count_from_the_first_label():
    network, pixels = untrained(FASTER), pixels_for(FASTER, 1)
    (counted,) = TorchvisionCandidates(network, preprocessing_of(FASTER), PLAIN).candidates(pixels)
    (shifted,) = TorchvisionCandidates(network, preprocessing_of(FASTER), PLAIN, first_label=1).candidates(pixels)
    assert counted.class_ids.unique().tolist() == [1, 2, 3]
    assert torch.equal(shifted.class_ids, counted.class_ids - 1)


def test_the_network_is_left_as_it_was():
    network = untrained(FASTER)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    TorchvisionCandidates(network, preprocessing_of(FASTER), Runtime(precision="fp32"))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_classifier_is_refused():
    with pytest.raises(TypeError, match="ResNet"):
        TorchvisionCandidates(torchvision.models.resnet18(weights=None), preprocessing_of(FASTER), PLAIN)


@pytest.mark.parametrize("builder", torchvision_builders("detection"))
def test_every_published_state_dict_has_its_place(builder, monkeypatch):
    with torch.device("meta"):
        published = as_published(f"torchvision/{builder}", monkeypatch).state_dict()
        ours = build_torchvision_detector(find_weights(f"torchvision/{builder}"), builder).state_dict()
    filled_in = {key for key in ours if key.endswith("num_batches_tracked")}
    assert published.keys() - filled_in == ours.keys() - filled_in
    assert all(ours[key].shape == value.shape for key, value in published.items())


@pytest.mark.parametrize("builder", [FASTER, "fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn"])
def test_ordinary_norms_do_what_frozen_ones_did(builder, monkeypatch):
    """Two of the three were trained without an epsilon, which shows where a variance is small."""
    published = as_published(f"torchvision/{builder}", monkeypatch)
    for name, value in published.named_buffers():
        if name == "backbone.body.bn1.running_var":
            value.uniform_(1e-5, 2e-5)
    name = f"torchvision/{builder}"
    network: Any = build_torchvision_detector(find_weights(name), builder)
    load_into(network, without_version(published.state_dict()), find(name), PATH)
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        levels, expected = network.eval().backbone(images).values(), published.backbone(images).values()
    for one, other in zip(levels, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_the_names_that_old_files_have_are_brought_up_to_date(monkeypatch):
    name = f"torchvision/{FASTER}"
    state = as_published(name, monkeypatch).state_dict()
    old = {key.replace("conv.0.0.", "conv.").replace("_blocks.0.0.", "_blocks.0."): state[key] for key in state}
    assert old.keys() != state.keys()
    network: Any = build_torchvision_detector(find_weights(name), FASTER)
    load_into(network, without_version(old), find(name), PATH)
    assert torch.equal(network.rpn.head.conv[0][0].weight, old["rpn.head.conv.weight"])


@pytest.mark.parametrize("builder", torchvision_builders("detection"))
def test_class_names_are_cocos_at_their_category_ids(builder):
    class_names = find(f"torchvision/{builder}").class_names
    assert class_names is not None and len(class_names) == 91
    assert tuple(class_names[category_id] for category_id in COCO_CATEGORY_IDS) == COCO_CLASSES


def test_an_entry_has_the_networks_own_preprocessing_and_thresholds():
    ssd: Any = find("torchvision/ssd300_vgg16")
    assert not ssd.preprocessing.keep_aspect
    assert (ssd.preprocessing.short_side, ssd.preprocessing.long_side) == (300, 300)
    assert ssd.preprocessing.std == (1.0, 1.0, 1.0)
    assert ssd.defaults["iou_threshold"] == 0.45
    faster: Any = find("torchvision/fasterrcnn_resnet50_fpn_v2@COCO_V1")
    assert (faster.preprocessing.short_side, faster.preprocessing.long_side) == (800, 1333)
    assert [(figure.dataset, figure.metric, figure.value) for figure in faster.accuracy] == [
        ("COCO val2017", "map", 0.467)
    ]


def test_a_model_is_loaded_by_name_and_finds_what_torchvision_finds(tmp_path, monkeypatch):
    """From a file that this test writes where torch hub would keep the published one."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    name = "torchvision/ssdlite320_mobilenet_v3_large"
    network = untrained("ssdlite320_mobilenet_v3_large", num_classes=91)
    path = locate(find(name))
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    adapter = load(name, PLAIN)
    image = Image.fromarray(pixels_for("ssdlite320_mobilenet_v3_large", 1)[0])
    (found,) = adapter.predict([encoded(image, "PNG")], DetectionParameters(0.5, 0.55, 1000))
    (wanted,) = torchvisions_own(network, np.array(image)[None], 0.5, 0.55)
    assert len(found.scores) > 5
    assert found.scores.tolist() == pytest.approx(wanted["scores"][: len(found.scores)].tolist(), abs=1e-3)
    assert found.class_ids[0] == wanted["labels"][0]
