"""A card may name torchvision's detectors and segmenters with classes of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models
from torch import nn

from models.catalog.cards import write_card
from models.catalog.loading import load
from models.catalog.lookup import find
from models.detection.architectures import build_detector, known_detectors, servable_detectors
from models.entries import WeightsSource
from models.errors import BrokenCard, WeightsCorrupt
from models.parameters import DetectionParameters, SegmentationParameters
from models.runtime import Runtime
from models.segmentation.architectures import build_segmenter, known_segmenters, segmentation_of, servable_segmenters
from tests.photos import encoded, photo
from tests.unit.untrained_networks import settle_norms, spread, torchvisions_own

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

RUNTIME = Runtime(precision="fp32", backend="torch")
FASTER = "torchvision/fasterrcnn_mobilenet_v3_large_320_fpn"
RETINA = "torchvision/retinanet_resnet50_fpn"
SSD = "torchvision/ssd300_vgg16"
MASKS = "torchvision/maskrcnn_resnet50_fpn"
LRASPP = "torchvision/lraspp_mobilenet_v3_large"


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    return tmp_path


def write(
    folder: Path,
    architecture: str,
    state: Mapping[str, torch.Tensor],
    class_names: tuple[str, ...] = ("cat", "cup"),
    **members: Any,
) -> Path:
    entry = find(architecture)
    sides = {"short_side": 128, "long_side": 192} if getattr(entry.preprocessing, "keep_aspect", False) else {}
    card = replace(
        entry,
        **{
            "name": "own",
            "architecture": architecture,
            "weights": WeightsSource("card", "", None, "CC0-1.0", "a test"),
            "preprocessing": replace(entry.preprocessing, **sides),
            "class_names": class_names,
            "class_count": len(class_names),
            "category_ids": None,
            "accuracy": (),
            **members,
        },
    )
    return write_card(folder, card, state, exact=True)


def detector(architecture: str, num_classes: int) -> Any:
    """torchvision's own network, as its users build it for fine-tuning, with random weights that see something."""
    torch.manual_seed(4)
    builder = architecture.removeprefix("torchvision/")
    network: Any = torchvision.models.get_model(builder, weights=None, weights_backbone=None, num_classes=num_classes)
    side = 300 if "ssd300" in builder else 160
    pixels = np.random.default_rng(1).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    settle_norms(network, pixels)
    network.transform.min_size, network.transform.max_size = (side,), side
    return spread(network.eval(), list(pixels))


def test_architectures_that_can_be_trained_are_the_first_of_those_that_can_be_served():
    assert servable_detectors()[: len(known_detectors())] == known_detectors()
    assert servable_segmenters()[: len(known_segmenters())] == known_segmenters()
    assert FASTER in servable_detectors() and {MASKS, LRASPP} <= set(servable_segmenters())
    assert segmentation_of(MASKS) == "instance" and segmentation_of(LRASPP) == "semantic"


@pytest.mark.parametrize("architecture", [FASTER, RETINA, SSD])
def test_detections_are_those_of_torchvision_without_the_background(catalog, architecture):
    network = detector(architecture, 3)
    write(catalog, architecture, network.state_dict())
    model = load("own", RUNTIME)
    assert model.class_names == ("cat", "cup")
    parameters = DetectionParameters(score_threshold=0.3, iou_threshold=0.5, max_detections=1000)
    (found,) = model.predict([encoded(photo("chelsea"), "PNG")], parameters)
    prepared = model.preprocess(model.decode(encoded(photo("chelsea"), "PNG")))
    network.transform.min_size = (min(prepared.pixels.shape[:2]),)
    network.transform.max_size = max(prepared.pixels.shape[:2])
    expected = torchvisions_own(network, [prepared.pixels], 0.3, 0.5)[0]
    labels = expected["labels"].numpy()
    real = labels > 0  # RetinaNet has a score for the background, too, which a trained network keeps low
    assert len(found.scores) > 3 and set(found.class_ids) <= {0, 1}
    best = np.sort(expected["scores"].numpy()[real])[::-1][:50]  # of more, torchvision has more candidates before NMS
    assert np.allclose(found.scores[:50], best, atol=2e-3)


def test_network_whose_labels_count_from_0_says_so_in_its_arguments(catalog):
    network = detector(RETINA, 2)
    write(catalog, RETINA, network.state_dict(), arguments={"first_label": 0})
    (found,) = load("own", RUNTIME).predict([encoded(photo("chelsea"), "PNG")], DetectionParameters(0.1))
    assert set(found.class_ids) == {0, 1}


def test_instances_and_their_masks_leave_out_the_background(catalog):
    write(catalog, MASKS, detector(MASKS, 3).state_dict())
    (found,) = load("own", RUNTIME).predict([encoded(photo("chelsea"), "PNG")], SegmentationParameters(0.1))
    assert len(found.masks) > 0 and set(found.class_ids) <= {0, 1}


def test_class_map_of_a_semantic_segmenter_is_that_of_torchvision(catalog):
    torch.manual_seed(4)
    network: Any = torchvision.models.get_model(
        LRASPP.removeprefix("torchvision/"), weights=None, weights_backbone=None, num_classes=3
    ).eval()
    write(catalog, LRASPP, network.state_dict(), ("background", "cat", "cup"))
    model = load("own", RUNTIME)
    picture = encoded(photo("chelsea"), "PNG")
    prepared = model.preprocess(model.decode(picture)).pixels
    preprocessing = model.entry.image_preprocessing
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    with torch.inference_mode():
        scores = network((torch.from_numpy(prepared).permute(2, 0, 1) - mean)[None] / std)["out"][0]
    (found,) = model.predict([picture])
    shown = torch.nn.functional.interpolate(scores[None], found.image_size, mode="bilinear")[0].argmax(0).numpy()
    assert (found.class_map == shown).mean() > 0.97
    assert model.class_names == ("background", "cat", "cup")


def test_norms_add_what_the_card_says():
    network = build_detector("torchvision/fasterrcnn_resnet50_fpn", 2, {"norm_eps": 0.0})
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {0.0}


def test_first_label_that_is_neither_0_nor_1_is_refused(catalog):
    write(catalog, FASTER, {"a": torch.zeros(1)}, arguments={"first_label": 2})
    with pytest.raises(BrokenCard, match="first_label must be 0 or 1, not 2"):
        load("own", RUNTIME)


def test_weights_of_another_number_of_classes_are_refused(catalog):
    write(catalog, FASTER, build_detector(FASTER, 5, {}).state_dict())
    with pytest.raises(WeightsCorrupt, match="another network's weights"):
        load("own", RUNTIME)


def test_masks_of_another_kind_are_refused(catalog):
    write(catalog, LRASPP, build_segmenter(LRASPP, 2, {}).state_dict(), segmentation="instance")
    with pytest.raises(BrokenCard, match="segmentation must be 'semantic' for torchvision/lraspp"):
        load("own", RUNTIME)
