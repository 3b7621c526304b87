"""Decoding the outputs of instance segmenters: the cells of each box against the map that they are taken from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.errors import NonFiniteOutput
from models.outputs.layouts import LAYOUTS, decoder_for
from models.segmentation.mask_rcnn_regions import RegionMasks

SIZE = (128, 160)
"""Of the input; prototypes are a quarter of it."""
CLASSES = 2


def sampled(image: np.ndarray, box: list[float], side: int) -> np.ndarray:
    """The map of the whole input, read bilinearly at the centres of the cells of a box, one at a time."""
    height, width = image.shape
    cells = np.empty((side, side), np.float32)
    for row in range(side):
        for column in range(side):
            x = (box[0] + (column + 0.5) / side * (box[2] - box[0])) * width / SIZE[1] - 0.5
            y = (box[1] + (row + 0.5) / side * (box[3] - box[1])) * height / SIZE[0] - 0.5
            x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            left, top = int(x), int(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            above = image[top, left] * (1 - (x - left)) + image[top, right] * (x - left)
            below = image[bottom, left] * (1 - (x - left)) + image[bottom, right] * (x - left)
            cells[row, column] = above * (1 - (y - top)) + below * (y - top)
    return cells


BOXES = torch.tensor([[10.0, 20, 70, 84], [100, 60, 150, 120], [12, 20, 70, 84], [0, 0, 8, 8], [-5, 90, 40, 140]])
SCORES = torch.tensor([0.9, 0.95, 0.8, 0.04, 0.6])
CLASS_IDS = torch.tensor([0, 1, 0, 0, 1])
KEPT = [1, 0, 4]
"""Without the duplicate and the one below the score floor of masks, the best first."""


def prototypes() -> tuple[Tensor, Tensor]:
    """(5, 32) coefficients and (32, h, w) prototypes."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(5, 32, generator=generator), torch.randn(32, 32, 40, generator=generator)


def columns(coefficients: Tensor) -> Tensor:
    """(1, 4 + C + 32, 5)."""
    centre, extent = (BOXES[:, :2] + BOXES[:, 2:]) / 2, BOXES[:, 2:] - BOXES[:, :2]
    classes = torch.zeros(5, CLASSES).scatter(1, CLASS_IDS[:, None], SCORES[:, None])
    return torch.cat([centre, extent, classes, coefficients], 1).T[None]


def rows(coefficients: Tensor) -> Tensor:
    """(1, 5, 6 + 32)."""
    return torch.cat([BOXES, SCORES[:, None], CLASS_IDS[:, None].float(), coefficients], 1)[None]


def assert_objects(found: RegionMasks) -> None:
    np.testing.assert_allclose(found.objects.boxes, BOXES[KEPT], atol=1e-5)
    np.testing.assert_array_equal(found.objects.scores, SCORES[KEPT])
    assert found.objects.class_ids.tolist() == CLASS_IDS[KEPT].tolist()


@pytest.mark.parametrize("layout", ["yolov8-segmentation", "end-to-end-segmentation"])
@pytest.mark.parametrize("turned", [False, True])
def test_masks_are_sums_of_prototypes_in_each_box(layout: str, turned: bool):
    coefficients, maps = prototypes()
    table = columns(coefficients) if layout == "yolov8-segmentation" else rows(coefficients)
    outputs = [maps[None], table] if turned else [table, maps[None]]
    (found,) = LAYOUTS[layout].decode(outputs, SIZE, CLASSES)
    assert_objects(found)
    wanted = torch.tensor([2, 0])
    cells = found.masks_of(wanted)
    assert cells.shape == (2, 15, 15), "the wider box covers 45 of 160 pixels, and the taller one 60 of 128"
    for mine, index in zip(cells, (KEPT[2], KEPT[0]), strict=True):
        logits = torch.einsum("k,khw->hw", coefficients[index], maps).numpy()
        expected = 1 / (1 + np.exp(-sampled(logits, BOXES[index].tolist(), 15)))
        np.testing.assert_allclose(mine, expected, atol=1e-4)


def test_cells_are_as_fine_as_the_prototypes_for_the_largest_wanted_box():
    coefficients, maps = prototypes()
    (found,) = LAYOUTS["yolov8-segmentation"].decode([columns(coefficients), maps[None]], SIZE, CLASSES)
    assert found.masks_of(torch.tensor([1])).shape == (1, 16, 16)
    large = torch.cat([columns(coefficients)] * 2, 2)
    large[0, :4, 0] = torch.tensor([80.0, 64, 4000, 4000])
    (found,) = LAYOUTS["yolov8-segmentation"].decode([large, maps[None]], SIZE, CLASSES)
    everything = torch.arange(len(found.objects))
    assert found.masks_of(everything).shape[1:] == (160, 160), "no finer than this"


def test_images_of_a_batch_have_their_own_prototypes():
    coefficients, maps = prototypes()
    table = columns(coefficients).repeat(2, 1, 1)
    first, second = LAYOUTS["yolov8-segmentation"].decode([table, torch.stack([maps, -maps])], SIZE, CLASSES)
    wanted = torch.arange(3)
    np.testing.assert_allclose(first.masks_of(wanted), 1 - second.masks_of(wanted), atol=1e-5)


def test_torchvision_masks_are_read_in_each_box():
    maps = torch.rand(5, 1, 64, 80, generator=torch.Generator().manual_seed(2))
    outputs = [BOXES, CLASS_IDS + 1, SCORES, maps]
    (found,) = LAYOUTS["torchvision-masks"].decode(outputs, SIZE, CLASSES)
    assert_objects(found)
    cells = found.masks_of(torch.arange(3))
    assert cells.shape == (3, 32, 32)
    for mine, index in zip(cells, KEPT, strict=True):
        np.testing.assert_allclose(mine, sampled(maps[index, 0].numpy(), BOXES[index].tolist(), 32), atol=1e-5)


def test_torchvision_masks_with_a_background_among_the_class_names():
    decoder = decoder_for(LAYOUTS["torchvision-masks"], ("background", "cat", "dog"))
    (found,) = decoder([BOXES, CLASS_IDS + 1, SCORES, torch.rand(5, 1, 64, 80)], SIZE, 3)
    assert found.objects.class_ids.tolist() == (CLASS_IDS + 1)[KEPT].tolist()


def test_nothing_wanted_and_nothing_found():
    coefficients, maps = prototypes()
    (found,) = LAYOUTS["yolov8-segmentation"].decode([columns(coefficients), maps[None]], SIZE, CLASSES)
    assert len(found.masks_of(torch.zeros(0, dtype=torch.int64))) == 0
    (found,) = LAYOUTS["yolov8-segmentation"].decode([columns(coefficients) * 0, maps[None]], SIZE, CLASSES)
    assert len(found.objects) == 0
    empty = [torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0), torch.zeros(0, 1, 64, 80)]
    (found,) = LAYOUTS["torchvision-masks"].decode(empty, SIZE, CLASSES)
    assert len(found.objects) == 0
    assert len(found.masks_of(torch.zeros(0, dtype=torch.int64))) == 0


def test_mask_that_is_not_finite_is_refused():
    coefficients, maps = prototypes()
    maps[3, 10, 10] = float("nan")
    (found,) = LAYOUTS["yolov8-segmentation"].decode([columns(coefficients), maps[None]], SIZE, CLASSES)
    with pytest.raises(NonFiniteOutput):
        found.masks_of(torch.arange(3))


@pytest.mark.parametrize(
    ("layout", "shapes", "message"),
    [
        ("yolov8-segmentation", [(1, 39, 5), (1, 32, 32, 40)], r"needs \(N, 38, A\)"),
        ("yolov8-segmentation", [(1, 38, 5)], r"needs prototypes \(N, 32, h, w\)"),
        ("end-to-end-segmentation", [(1, 5, 37), (1, 32, 32, 40)], r"needs \(N, K, 38\)"),
        ("torchvision-masks", [(5, 4), (5,), (5,)], r"needs masks \(K, 1, H, W\)"),
        ("torchvision-masks", [(5, 4), (5,), (5,), (4, 1, 8, 8)], r"needs tensors of one length"),
    ],
)
def test_shapes_that_do_not_fit_are_one_line(layout: str, shapes: list[tuple[int, ...]], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        LAYOUTS[layout].decode([torch.rand(shape) for shape in shapes], SIZE, CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["end-to-end-segmentation", "torchvision-masks"])
def test_class_id_beyond_the_names_is_refused(layout: str):
    maps = torch.rand(5, 1, 64, 80)
    outputs = [BOXES, CLASS_IDS + 1, SCORES, maps] if layout == "torchvision-masks" else [rows(prototypes()[0]), maps]
    outputs = outputs if layout == "torchvision-masks" else [outputs[0], prototypes()[1][None]]
    with pytest.raises(ValueError, match="returns class id 1, and the model has 1 class names"):
        LAYOUTS[layout].decode(outputs, SIZE, 1)
