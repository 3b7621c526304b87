"""The first YOLO: its layers, its grid, its scores and its loss, worked by hand; and it learns."""

from math import sqrt
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from models.detection.candidates import MAX_CANDIDATES, SCORE_FLOOR
from models.detection.selection import iou
from models.detection.yolov1 import build_yolov1, read
from models.detection.yolov1_candidates import YoloV1Candidates, candidates_from
from models.entries import LetterboxPreprocessing
from models.runtime import Runtime, cpu_has_bf16
from models.training.yolov1_loss import yolov1_loss
from models.training.yolox_loss import Target

SQUARE = LetterboxPreprocessing(448, 448, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), keep_aspect=False)


pytestmark = pytest.mark.usefixtures("one_thread")


def target(boxes=(), class_ids=(), crowds=()):
    return Target(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(class_ids, dtype=torch.int64),
        torch.tensor(crowds, dtype=torch.float32).reshape(-1, 4),
    )


def grid(cell=(3, 1), first=(0, 0, 0, 0, 0), second=(0, 0, 0, 0, 0), classes=(0, 0, 0)):
    """One image of 7 × 7 cells, two boxes each, that says nothing but in one cell (row, column)."""
    raw = torch.zeros(1, 7, 7, 13)
    raw[0, cell[0], cell[1]] = torch.tensor([*first, *second, *classes], dtype=torch.float32)
    return raw


def losses(raw, *targets):
    return {name: float(value) for name, value in yolov1_loss(raw, targets, 2).items()}


def test_the_papers_network_has_24_convolutions_and_two_connected_layers():
    with torch.device("meta"):
        network: Any = build_yolov1(20, "darknet")
        raw = network.eval()(torch.zeros(1, 3, 448, 448))
    kinds = [type(module) for module in network.modules()]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.Linear), kinds.count(nn.MaxPool2d)) == (24, 2, 4)
    assert raw.shape == (1, 7, 7, 30)
    assert sum(parameter.numel() for parameter in network.parameters()) == 271_716_734
    assert [tuple(layer.weight.shape) for layer in network.head if isinstance(layer, nn.Linear)] == [
        (4096, 7 * 7 * 1024),
        (7 * 7 * 30, 4096),
    ]


def test_a_smaller_image_is_padded_for_the_papers_head_and_a_larger_one_refused():
    network = build_yolov1(2, "darknet", width=1 / 32).eval()
    small = torch.rand(1, 3, 320, 448)
    padded = torch.cat([small, torch.zeros(1, 3, 128, 448)], 2)
    with torch.inference_mode():
        assert torch.equal(network(small), network(padded))
    with pytest.raises(ValueError, match="512 × 448"):
        network(torch.zeros(1, 3, 512, 448))
    with pytest.raises(ValueError, match="at most 448"):
        YoloV1Candidates(network, LetterboxPreprocessing(640, 640, SQUARE.mean, SQUARE.std), Runtime(precision="fp32"))


def test_the_small_network_takes_any_size_and_has_a_cell_for_every_64_pixels_begun():
    network = build_yolov1(3, width=0.125).eval()
    with torch.inference_mode():
        shapes = [tuple(network(torch.zeros(1, 3, *size)).shape) for size in ((448, 448), (416, 320), (64, 96))]
    assert shapes == [(1, 7, 7, 13), (1, 7, 5, 13), (1, 1, 2, 13)]


def test_an_unknown_backbone_is_refused():
    with pytest.raises(ValueError, match="'vgg' is none of"):
        build_yolov1(1, cast(Any, "vgg"))


def test_an_untrained_network_is_sure_of_nothing():
    network = build_yolov1(4, width=0.125).eval()
    with torch.inference_mode():
        predictions = read(network(torch.rand(1, 3, 448, 448)), 2)
    assert float(predictions.confidences.abs().max()) < 0.2
    assert float((predictions.classes - 0.25).abs().max()) < 0.2


def test_a_box_is_read_from_its_cell_and_the_roots_of_its_size():
    """Cell in row 3, column 1: its corner is at x = 64, y = 192."""
    predictions = read(grid(first=(0.5, 0.25, 0.5, sqrt(0.5), 0.9), classes=(0.1, 0.2, 0.7)), 2)
    assert predictions.boxes[0, 3, 1, 0].tolist() == pytest.approx([96 - 56, 208 - 112, 96 + 56, 208 + 112], abs=1e-3)
    assert float(predictions.confidences[0, 3, 1, 0]) == pytest.approx(0.9)
    assert predictions.classes[0, 3, 1].tolist() == pytest.approx([0.1, 0.2, 0.7])


def test_a_score_is_confidence_times_class_probability():
    raw = grid(first=(0.5, 0.25, 0.5, 0.5, 0.9), second=(0, 0, 1, 1, 0.5), classes=(0.0, 0.2, 1.4))
    (found,) = candidates_from(raw, 2)
    order = found.scores.argsort(descending=True)
    assert found.scores[order].tolist() == pytest.approx([0.9, 0.5, 0.18, 0.1])
    assert found.class_ids[order].tolist() == [2, 2, 1, 1]
    assert found.boxes[order][1].tolist() == [64 - 224, 192 - 224, 64 + 224, 192 + 224]


def test_no_more_candidates_than_allowed_and_none_below_the_floor():
    raw = torch.rand(2, 7, 7, 30, generator=torch.Generator().manual_seed(1))
    raw[1] = 0.0
    crowded, empty = candidates_from(raw, 2)
    assert len(crowded) == MAX_CANDIDATES and float(crowded.scores.min()) >= SCORE_FLOOR
    assert len(empty) == 0 and empty.boxes.shape == (0, 4)


PERSON = (68.0, 136.0, 132.0, 264.0)
"""Centre at (100, 200), in row 3 and column 1, 64 × 128."""


def test_the_loss_of_one_object_worked_by_hand():
    """The first box spans 60.16 to 131.84 and 168 to 280: an intersection of 63.84 × 96 in a union of 10091.52."""
    raw = grid(first=(0.5, 0.5, 0.4, 0.5, 0.8), second=(0, 0, 0.1, 0.1, 0.3), classes=(0.2, 0.7, 0.1))
    overlap = 63.84 * 96 / 10091.52
    found = losses(raw, target([PERSON], [1]))
    offsets = (0.5 - 100 / 64 + 1, 0.5 - 200 / 64 + 3, 0.4 - sqrt(64 / 448), 0.5 - sqrt(128 / 448))
    assert found["coordinates"] == pytest.approx(5 * sum(offset**2 for offset in offsets), rel=1e-4)
    assert found["coordinates"] == pytest.approx(0.7310, abs=1e-4)
    assert found["confidence"] == pytest.approx((0.8 - overlap) ** 2, rel=1e-4)
    assert found["no_object"] == pytest.approx(0.5 * 0.3**2, rel=1e-4)
    assert found["class"] == pytest.approx(0.2**2 + 0.3**2 + 0.1**2, rel=1e-4)


def test_a_perfect_answer_costs_nothing():
    truth = (100 / 64 - 1, 200 / 64 - 3, sqrt(64 / 448), sqrt(128 / 448), 1.0)
    assert sum(losses(grid(second=truth, classes=(0, 1, 0)), target([PERSON], [1])).values()) < 1e-9


def test_the_box_that_overlaps_most_is_responsible():
    near, off = (0.5625, 0.125, 0.38, 0.53, 0.6), (0.5625, 0.125, 0.9, 0.9, 0.6)
    object_ = target([PERSON], [0])
    first = losses(grid(first=near, second=off), object_)
    second = losses(grid(first=off, second=near), object_)
    assert first == pytest.approx(second)
    assert first["coordinates"] < 0.001


def test_where_no_box_overlaps_the_one_that_is_least_off_is_responsible():
    found = losses(
        grid(first=(9, 9, 0, 0, 0), second=(5.5625, 0.125, sqrt(64 / 448), sqrt(128 / 448), 0)), target([PERSON], [0])
    )
    assert found["coordinates"] == pytest.approx(5 * 5.0**2, rel=1e-4)


def test_an_image_of_nothing_teaches_that_there_is_nothing():
    raw = grid(first=(1, 1, 1, 1, 0.4), second=(0, 0, 0, 0, -0.2), classes=(5, 5, 5))
    assert losses(raw, target()) == pytest.approx(
        {"coordinates": 0.0, "confidence": 0.0, "no_object": 0.5 * (0.4**2 + 0.2**2), "class": 0.0}
    )


def test_of_two_objects_in_a_cell_the_larger_one_is_learnt():
    small = (96.0, 196.0, 104.0, 204.0)
    raw = grid(first=(0.5, 0.5, 0.4, 0.5, 0.8), classes=(0.2, 0.7, 0.1))
    for both in (target([small, PERSON], [2, 1]), target([PERSON, small], [1, 2])):
        assert losses(raw, both) == pytest.approx(losses(raw, target([PERSON], [1])))


def test_cells_in_a_crowd_are_not_told_that_there_is_nothing():
    raw = grid(first=(0, 0, 0, 0, 0.4))
    crowd = (64.0, 192.0, 128.0, 256.0)
    assert losses(raw, target(crowds=[crowd]))["no_object"] == 0.0
    assert losses(raw, target(crowds=[(64.0, 192.0, 90.0, 256.0)]))["no_object"] == pytest.approx(0.08)


def test_the_loss_is_the_mean_over_the_images():
    raw = grid(first=(0.5, 0.5, 0.4, 0.5, 0.8), second=(0, 0, 0.1, 0.1, 0.3), classes=(0.2, 0.7, 0.1))
    one, other = target([PERSON], [1]), target([(200.0, 10.0, 300.0, 90.0)], [2])
    both = losses(torch.cat([raw, raw]), one, other)
    first, second = losses(raw, one), losses(raw, other)
    assert both == pytest.approx({name: (first[name] + second[name]) / 2 for name in both})


def scene():
    """Two images of one rectangle each, of two colours, and where they are."""
    images = torch.full((2, 3, 448, 448), -0.8)
    boxes = [(60.0, 100.0, 220.0, 300.0), (250.0, 180.0, 420.0, 400.0)]
    for index, (x_min, y_min, x_max, y_max) in enumerate(boxes):
        images[index, index, int(y_min) : int(y_max), int(x_min) : int(x_max)] = 1.0
    return images, [target([boxes[0]], [0]), target([boxes[1]], [1])]


def test_a_tiny_network_learns_two_images_by_heart():
    torch.manual_seed(0)
    network = build_yolov1(2, "darknet", width=1 / 32)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.2  # so few steps must do for the statistics too
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    images, targets = scene()
    history = []
    for _ in range(90):
        loss = torch.stack(list(yolov1_loss(network(images), targets, 2).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
    assert sum(history[-10:]) / 10 < 0.3 * history[0]
    with torch.inference_mode():
        found = candidates_from(network.eval()(images), 2)
    for one, wanted in zip(found, targets, strict=True):
        best = one.scores.argmax()
        assert int(one.class_ids[best]) == int(wanted.class_ids[0])
        assert float(iou(one.boxes[best][None], wanted.boxes)) > 0.5


@pytest.mark.parametrize("backbone", ["darknet", "efficientnet-lite0"])
def test_the_network_is_served_as_it_is(backbone):
    torch.manual_seed(0)
    network: Any = build_yolov1(2, backbone, width=1 / 16).eval()
    for parameter in (list(network.head.modules())[-2] if backbone == "darknet" else network.head[-2]).parameters():
        nn.init.uniform_(parameter, 0.0, 0.1)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 320, 448, 3), dtype=np.uint8)
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2) - 127.0) / 128.0
    with torch.inference_mode():
        expected = candidates_from(network(images), 2)
    served = YoloV1Candidates(network, SQUARE, Runtime(precision="fp32")).candidates(pixels)
    for one, other in zip(served, expected, strict=True):
        assert len(one) == len(other) > 20
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-3, atol=1e-4)
    if cpu_has_bf16():
        rough = YoloV1Candidates(network, SQUARE, Runtime(precision="bf16")).candidates(pixels)
        torch.testing.assert_close(rough[0].scores[:20], expected[0].scores[:20], rtol=0.05, atol=0.01)
