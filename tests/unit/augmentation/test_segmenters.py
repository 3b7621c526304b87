"""Segmenters with augmentation: probabilities and masks of all views are averaged in the pixels of the photo."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.augmentation.augmented import View
from models.augmentation.choice import REGION_VIEWS
from models.augmentation.instance import moved_cells
from models.augmentation.semantic import AugmentedSemanticSegmenter
from models.entries import LetterboxPreprocessing
from models.parameters import SegmentationParameters
from models.predictions import SemanticMask
from tests.unit.augmentation.bright_things import (
    ONE,
    ZERO,
    BrightThings,
    instance_segmenter,
    scene,
    semantic_segmenter,
    with_views,
)

BOTH_SIDES = (View(), View(mirrored=True))
AUGMENTED = SegmentationParameters(probabilities=True, augment=True)
NATIVE = LetterboxPreprocessing(4096, 4096, ZERO, ONE, stride=8, enlarge=False)
TILED = replace(NATIVE, tile=64, overlap=24)

pytestmark = pytest.mark.usefixtures("one_thread")


class Blurred(nn.Module):
    """Class scores at a stride of four, from a few pixels around, the same from left and right."""

    def __init__(self) -> None:
        super().__init__()
        self.stride = nn.AvgPool2d(4)

    def forward(self, images: Tensor) -> Tensor:
        above = self.stride(images.mean(1, keepdim=True)) / 255 - 0.5
        return torch.cat([-6 * above, 6 * above], 1)


class LeftBiased(nn.Module):
    """Sees everything a few pixels too far to the left."""

    def forward(self, images: Tensor) -> Tensor:
        above = torch.roll(images.mean(1, keepdim=True), -6, 3) / 255 - 0.5
        return torch.cat([-4 * above, 4 * above], 1)


class Neighbourhood(nn.Module):
    """Three convolutions: logits that depend on 6 pixels around."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(7)
        self.layers = nn.Sequential(*(nn.Conv2d(*pair, 5, padding=2) for pair in pairwise((3, 8, 8, 2))))
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d) and layer.bias is not None
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator) / 8
            layer.bias.data.zero_()

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images / 128 - 1)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("size", [(100, 160), (160, 100), (90, 90), (300, 500), (37, 41)])
@pytest.mark.parametrize("network", [None, Blurred()])
def test_classes_are_where_they_are_in_the_photo(size: tuple[int, int], network: nn.Module | None):
    height, width = size
    photo = scene(height, width, (width // 8, height // 4, width // 2, height // 2))
    segmenter = semantic_segmenter(network)
    (plain,) = segmenter.predict([photo], replace(AUGMENTED, augment=False))
    (found,) = with_views(segmenter).predict([photo], AUGMENTED)
    assert isinstance(found, SemanticMask) and found.class_map.shape == size
    assert overlap(found.class_map == 1, plain.class_map == 1) > 0.9
    assert found.probabilities is not None and 0.5 < found.probabilities[0] <= 1


def test_bias_to_one_side_is_averaged_away():
    photo = scene(128, 128, (40, 20, 90, 100))
    segmenter = semantic_segmenter(LeftBiased())
    (plain,) = segmenter.predict([photo], replace(AUGMENTED, augment=False))
    (found,) = AugmentedSemanticSegmenter(segmenter, BOTH_SIDES, 16).predict([photo], AUGMENTED)
    middles = [np.nonzero(one.class_map)[1].mean() for one in (plain, found)]
    assert middles[0] == pytest.approx(58.5, abs=1) and middles[1] == pytest.approx(64.5, abs=1)


def test_probabilities_are_the_mean_of_the_views():
    """Of a network of single pixels and a plain image every view says the same."""
    photo = scene(128, 128, (0, 0, 128, 128))
    segmenter = semantic_segmenter()
    (plain,) = segmenter.predict([photo], replace(AUGMENTED, augment=False))
    (found,) = with_views(segmenter).predict([photo], AUGMENTED)
    assert found.probabilities == pytest.approx(plain.probabilities, abs=1e-4)


def test_large_image_in_tiles_is_merged_with_its_mirror_image():
    """Row by row it gives the same as at once, where the tiles hide nothing."""
    rng = np.random.default_rng(3)
    boxes = [(x, y, x + 30, y + 20) for x, y in rng.integers(0, 130, (12, 2)).tolist()]
    photo = scene(150, 170, *boxes)
    tiled = with_views(semantic_segmenter(Neighbourhood(), TILED))
    whole = AugmentedSemanticSegmenter(semantic_segmenter(Neighbourhood(), NATIVE), BOTH_SIDES, 16)
    item = tiled.preprocess(tiled.decode(photo))
    assert item.kinds == BOTH_SIDES
    (found,) = tiled.predict([photo], AUGMENTED)
    (wanted,) = whole.predict([photo], AUGMENTED)
    assert np.mean(found.class_map == wanted.class_map) > 0.999
    assert 0.05 < np.mean(found.class_map) < 0.95


def test_views_that_would_need_tiles_are_left_out():
    adapter = with_views(semantic_segmenter(preprocessing=TILED))
    item = adapter.preprocess(adapter.decode(scene(60, 60, (5, 5, 20, 20))))
    assert item.kinds == tuple(view for view in REGION_VIEWS if 60 * view.scale <= 64)


def test_image_that_is_not_enlarged_has_views_of_other_sizes():
    adapter = with_views(semantic_segmenter(preprocessing=NATIVE))
    item = adapter.preprocess(adapter.decode(scene(64, 64)))
    assert len({view.pixels.shape for view in item.views}) == len({view.scale for view in REGION_VIEWS})


@pytest.mark.parametrize("size", [(100, 160), (160, 100), (128, 128)])
def test_mask_of_an_object_is_the_mean_of_its_masks(size: tuple[int, int]):
    height, width = size
    box = [width // 8, height // 4, width // 2, height * 3 // 4]
    photo = scene(*size, box, red=(2, height - 12))
    segmenter = instance_segmenter(BrightThings())
    (plain,) = segmenter.predict([photo], SegmentationParameters(0.3))
    (found,) = with_views(segmenter).predict([photo], SegmentationParameters(0.3, augment=True))
    assert len(found.scores) == 1 and found.scores[0] == pytest.approx(0.8)
    assert np.abs(found.boxes - plain.boxes).max() < 2
    assert overlap(found.masks[0].to_array(), plain.masks[0].to_array()) > 0.95


def test_thresholds_and_classes_of_the_request_hold_for_merged_objects():
    adapter = with_views(instance_segmenter(BrightThings()))
    photo = scene(128, 128, (20, 20, 70, 70))
    for parameters in (
        SegmentationParameters(0.81, augment=True),
        SegmentationParameters(0.1, class_ids=(), augment=True),
    ):
        (found,) = adapter.predict([photo], parameters)
        assert (len(found.scores), found.masks) == (0, ())


def test_cells_stay_where_they_are_when_their_box_grows():
    cells = torch.ones(1, 8, 8)
    box, larger = np.array([[10, 10, 20, 20]], np.float32), np.array([[5, 10, 25, 20]], np.float32)
    moved = moved_cells(cells, box, larger, 16)[0]
    assert moved[:, :3].max() == 0 and moved[:, 13:].max() == 0
    assert moved[4:12, 5:11].min() == pytest.approx(1)
    assert moved_cells(cells, box, box, 8).sum() == pytest.approx(64)
