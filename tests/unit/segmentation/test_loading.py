"""A segmenter's card is loaded into the adapter of its kind, or says what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.catalog.cards import write_card
from models.catalog.loading import load, pull
from models.catalog.lookup import find
from models.errors import BrokenCard, WeightsCorrupt
from models.parameters import SegmentationParameters
from models.predictions import InstanceMasks, SemanticMask
from models.runtime import Runtime, cpu_has_bf16
from models.segmentation.architectures import build_segmenter, known_segmenters, segmentation_of
from models.segmentation.instances import InstanceSegmenter
from models.segmentation.semantic import SemanticSegmenter
from tests.photos import encoded
from tests.unit.segmenter_cards import INSTANCE_CLASSES, SEMANTIC_CLASSES, segmenter_entry, write_segmenter

pytestmark = pytest.mark.usefixtures("one_thread")

RUNTIMES = [Runtime(precision="fp32"), *([Runtime(precision="bf16")] if cpu_has_bf16() else [])]
SEMANTIC = ("unet", "unet-efficientnet-lite0")
INSTANCE = "mask-rcnn-efficientnet-lite0"


@pytest.fixture
def catalog(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    return tmp_path


def photo(height: int = 50, width: int = 70) -> bytes:
    pixels = np.random.default_rng(2).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), "PNG")


def change(path: Path, **members: Any) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **members}))


def test_every_architecture_is_of_one_kind():
    kinds = {architecture: segmentation_of(architecture) for architecture in known_segmenters()}
    assert kinds == {**dict.fromkeys(SEMANTIC, "semantic"), INSTANCE: "instance"}


@pytest.mark.parametrize("architecture", SEMANTIC)
def test_a_semantic_architecture_scores_every_class_at_every_pixel(architecture):
    network = build_segmenter(architecture, 3, {"width": 8}).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 45, 70)).shape == (1, 3, 45, 70)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("architecture", SEMANTIC)
def test_a_card_of_a_semantic_model_answers_with_a_class_for_every_pixel(catalog, architecture, runtime):
    write_segmenter(catalog, architecture)
    adapter = load("segments-anything", runtime)
    (found,) = adapter.predict([photo()])
    assert isinstance(adapter, SemanticSegmenter) and isinstance(found, SemanticMask)
    assert adapter.class_names == SEMANTIC_CLASSES
    assert found.class_map.shape == found.image_size == (50, 70)
    assert len(np.unique(found.class_map)) > 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_card_of_an_instance_model_answers_with_a_mask_for_every_object(catalog, runtime):
    write_segmenter(catalog, INSTANCE)
    adapter = load("segments-anything", runtime)
    (found,) = adapter.predict([photo()])
    assert isinstance(adapter, InstanceSegmenter) and isinstance(found, InstanceMasks)
    assert adapter.class_names == INSTANCE_CLASSES
    assert len(found.masks) == adapter.entry.defaults["max_detections"] == 20
    assert set(found.class_ids) == {1}, "the network's label 2: labels count from 1"
    assert all(mask.area > 0 for mask in found.masks)
    (few,) = adapter.predict([photo()], SegmentationParameters(0.1, 3, class_ids=(1,)))
    assert len(few.masks) == 3
    adapter.warm_up(1)


def test_the_classes_of_a_semantic_model_may_be_called_anything(catalog):
    """Its first one is the background whatever the card calls it."""
    change(write_segmenter(catalog, "unet"), class_names=["sky", "cat", "dog"])
    (found,) = load("segments-anything", RUNTIMES[0]).predict([photo()])
    assert 0 not in found.class_ids


@pytest.mark.parametrize(("architecture", "kind"), [("unet", "instance"), (INSTANCE, "semantic")])
def test_masks_that_an_architecture_does_not_give_are_refused(catalog, architecture, kind):
    path = write_segmenter(catalog, architecture)
    change(path, segmentation=kind, defaults={})
    with pytest.raises(BrokenCard, match=f"segmentation must be '{segmentation_of(architecture)}'") as caught:
        load("segments-anything", RUNTIMES[0])
    assert str(path) in str(caught.value)


def test_more_classes_than_a_class_map_can_tell_apart_are_refused(catalog):
    entry = segmenter_entry("unet", "too-many")
    names = tuple(f"class {number}" for number in range(257))
    network = build_segmenter("unet", len(names), entry.arguments)
    write_card(catalog, replace(entry, class_names=names, class_count=len(names)), network.state_dict())
    with pytest.raises(BrokenCard, match="257 classes"):
        load("too-many", RUNTIMES[0])


@pytest.mark.parametrize("architecture", ["yolox-nano", "torchvision/resnet50", ""])
def test_another_tasks_architecture_is_refused_with_those_that_there_are(catalog, architecture):
    change(write_segmenter(catalog, "unet"), architecture=architecture)
    with pytest.raises(BrokenCard, match="architecture must be one of unet, unet-efficientnet-lite0"):
        load("segments-anything", RUNTIMES[0])


@pytest.mark.parametrize("arguments", [{"colour": 3}, {"width": 0}])
def test_arguments_that_the_builder_does_not_take_are_refused(catalog, arguments):
    change(write_segmenter(catalog, "unet"), arguments=arguments)
    with pytest.raises(BrokenCard, match="unet cannot be built with arguments"):
        load("segments-anything", RUNTIMES[0])


def test_weights_of_another_network_are_refused(catalog):
    change(write_segmenter(catalog, "unet"), arguments={"width": 4})
    with pytest.raises(WeightsCorrupt, match="another network's weights"):
        load("segments-anything", RUNTIMES[0])


def test_a_card_is_read_back_as_it_was_written(catalog):
    write_segmenter(catalog, INSTANCE)
    pull("segments-anything")
    entry, written = find("segments-anything"), segmenter_entry(INSTANCE, "segments-anything")
    assert entry == replace(written, weights=entry.weights)
