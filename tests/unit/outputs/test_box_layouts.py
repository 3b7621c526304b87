"""Decoding the outputs of detectors: each layout against a plain loop over its rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from models.detection.candidates import Candidates
from models.outputs.layouts import LAYOUTS, decoder_for
from tests.unit.outputs import plain_decoding as plain

SIZE = (64, 96)
CLASSES = 5
ANCHORS = 8 * 12 + 4 * 6 + 2 * 3
NAMES = tuple(f"class {index}" for index in range(CLASSES))

rng = np.random.default_rng(3)


def decode(name: str, outputs: Sequence[Tensor], class_count: int = CLASSES) -> list[Candidates]:
    return LAYOUTS[name].decode(outputs, SIZE, class_count)


def as_rows(found: Candidates) -> np.ndarray:
    """(K, 6), the best first."""
    assert (found.boxes.dtype, found.scores.dtype, found.class_ids.dtype) == (
        torch.float32,
        torch.float32,
        torch.int64,
    )
    table = torch.cat([found.boxes, found.scores[:, None], found.class_ids[:, None].float()], 1).numpy()
    return table[np.argsort(-table[:, 4], kind="stable")]


def assert_same(found: Sequence[Candidates], expected: Sequence[list[plain.Row]]) -> None:
    assert len(found) == len(expected)
    for candidates, rows in zip(found, expected, strict=True):
        np.testing.assert_allclose(as_rows(candidates), plain.ranked(rows), rtol=1e-5, atol=1e-4)


def boxes_in_pixels(*shape: int) -> np.ndarray:
    """(..., 4) centre and size."""
    return np.concatenate([rng.uniform(0, 64, (*shape, 2)), rng.uniform(1, 40, (*shape, 2))], -1)


def likely(*shape: int) -> np.ndarray:
    """Probabilities, many of which are below the score floor."""
    return rng.uniform(0, 1, shape) ** 8


def tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def test_yolov5_is_objectness_times_class_probability():
    raw = tensor(np.concatenate([boxes_in_pixels(2, 30), likely(2, 30, 1), likely(2, 30, CLASSES)], -1))
    assert_same(decode("yolov5", [raw]), [plain.yolov5(image.numpy()) for image in raw])


def test_yolov5_with_its_raw_maps_beside_it():
    raw = tensor(np.concatenate([boxes_in_pixels(1, 30), likely(1, 30, 1 + CLASSES)], -1))
    maps = torch.rand(1, 3, 8, 8, 5 + CLASSES)
    assert_same(decode("yolov5", [maps, raw]), [plain.yolov5(raw[0].numpy())])


def test_yolov8_has_a_column_a_box():
    raw = tensor(np.concatenate([boxes_in_pixels(3, 30), likely(3, 30, CLASSES)], -1)).transpose(1, 2)
    assert_same(decode("yolov8", [raw]), [plain.yolov8(image.numpy()) for image in raw])


def test_yolox_grid_is_decoded_by_stride():
    box = rng.normal(0, 1, (2, ANCHORS, 4))
    raw = tensor(np.concatenate([box, likely(2, ANCHORS, 1), likely(2, ANCHORS, CLASSES)], -1))
    assert_same(decode("yolox", [raw]), [plain.yolox(image.numpy(), SIZE) for image in raw])


def test_raw_maps_of_yolox_in_any_order():
    maps = [torch.randn(2, 5 + CLASSES, SIZE[0] // stride, SIZE[1] // stride) for stride in (32, 8, 16)]
    rows = torch.cat([maps[index].flatten(2).transpose(1, 2) for index in (1, 2, 0)], 1)
    rows[..., 4:] = rows[..., 4:].sigmoid()
    assert_same(decode("yolox-maps", maps), [plain.yolox(image.numpy(), SIZE) for image in rows])


def test_end_to_end_rows_are_taken_as_they_are():
    raw = torch.tensor([[[1.0, 2, 30, 40, 0.9, 3], [5, 6, 7, 8, 0.0005, 1], [1, 1, 9, 9, 0.25, 0]]])
    (found,) = decode("end-to-end", [raw])
    np.testing.assert_allclose(as_rows(found), [[1, 2, 30, 40, 0.9, 3], [1, 1, 9, 9, 0.25, 0]], rtol=1e-6)


@pytest.mark.parametrize("turned", [False, True])
def test_detr_is_a_softmax_with_no_object_last(turned: bool):
    logits, boxes = tensor(rng.normal(0, 4, (2, 20, CLASSES + 1))), tensor(rng.uniform(0, 1, (2, 20, 4)))
    outputs = [boxes, logits] if turned else [logits, boxes]
    expected = [plain.detr(logits[image].numpy(), boxes[image].numpy(), SIZE) for image in range(2)]
    assert_same(decode("detr", outputs), expected)


def test_detr_of_three_classes_has_logits_before_boxes():
    logits, boxes = tensor(rng.normal(0, 4, (1, 20, 4))), tensor(rng.uniform(0, 1, (1, 20, 4)))
    assert_same(decode("detr", [logits, boxes], 3), [plain.detr(logits[0].numpy(), boxes[0].numpy(), SIZE)])


@pytest.mark.parametrize("turned", [False, True])
def test_rt_detr_is_a_sigmoid_for_every_class(turned: bool):
    logits, boxes = tensor(rng.normal(-4, 4, (2, 20, CLASSES))), tensor(rng.uniform(0, 1, (2, 20, 4)))
    hidden = torch.rand(2, 20, 256)
    outputs = [boxes, logits, hidden] if turned else [hidden, logits, boxes]
    expected = [plain.rt_detr(logits[image].numpy(), boxes[image].numpy(), SIZE) for image in range(2)]
    assert_same(decode("rt-detr", outputs), expected)


def test_rows_of_rt_detr_are_relative_boxes_with_probabilities():
    boxes, classes = rng.uniform(0, 1, (1, 20, 4)), likely(1, 20, CLASSES)
    expected = [
        (*plain.relative(box, SIZE), *plain.best(row))
        for box, row in zip(boxes[0].tolist(), classes[0].tolist(), strict=True)
    ]
    assert_same(decode("rt-detr-rows", [tensor(np.concatenate([boxes, classes], -1))]), [expected])


FINISHED_BOXES = torch.tensor([[1.0, 2, 30, 40], [5, 6, 70, 8.5], [1, 1, 9, 9]])
FINISHED_SCORES = torch.tensor([0.9, 0.5, 0.25])
FINISHED_LABELS = torch.tensor([1, 5, 3])


def expected_rows(labels: Tensor) -> np.ndarray:
    return torch.cat([FINISHED_BOXES, FINISHED_SCORES[:, None], labels[:, None].float()], 1).numpy()


@pytest.mark.parametrize("labels_type", [torch.int64, torch.int32, torch.float32])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_torchvision_labels_count_from_one_in_any_order_of_outputs(labels_type: torch.dtype, order: tuple[int, ...]):
    parts = (FINISHED_BOXES, FINISHED_LABELS.to(labels_type), FINISHED_SCORES)
    (found,) = decode("torchvision", [parts[index] for index in order])
    np.testing.assert_array_equal(as_rows(found), expected_rows(FINISHED_LABELS - 1))


@pytest.mark.parametrize("name", ["background", "__background__", "Background"])
def test_torchvision_labels_are_class_ids_where_class_names_count_the_background(name: str):
    decoder = decoder_for(LAYOUTS["torchvision"], (name, *NAMES))
    (found,) = decoder([FINISHED_BOXES, FINISHED_LABELS, FINISHED_SCORES], SIZE, CLASSES + 1)
    np.testing.assert_array_equal(as_rows(found), expected_rows(FINISHED_LABELS))


def test_other_layouts_do_not_care_for_a_background():
    layout = LAYOUTS["yolov8"]
    assert decoder_for(layout, ("background", "person")) is layout.decode


def test_torchvision_finds_nothing():
    (found,) = decode("torchvision", [torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0)])
    assert len(found) == 0


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
@pytest.mark.parametrize("labels_type", [torch.int64, torch.float32])
def test_labels_boxes_and_scores_of_rt_detr(labels_type: torch.dtype, order: tuple[int, ...]):
    labels = (FINISHED_LABELS - 1).to(labels_type)
    parts = [part[None].repeat(2, *[1] * part.ndim) for part in (labels, FINISHED_BOXES, FINISHED_SCORES)]
    found = decode("labels-boxes-scores", [parts[index] for index in order])
    assert len(found) == 2
    for candidates in found:
        np.testing.assert_array_equal(as_rows(candidates), expected_rows(FINISHED_LABELS - 1))


def test_efficient_nms_reads_as_many_rows_as_it_says():
    boxes, scores = FINISHED_BOXES.repeat(2, 1, 1), FINISHED_SCORES.repeat(2, 1)
    classes = (FINISHED_LABELS - 1).repeat(2, 1)
    counts = torch.tensor([[2], [0]], dtype=torch.int32)
    first, second = decode("efficient-nms", [counts, boxes, scores, classes])
    np.testing.assert_array_equal(as_rows(first), expected_rows(FINISHED_LABELS - 1)[:2])
    assert len(second) == 0


def test_mmdeploy_has_scores_beside_boxes():
    boxes = torch.cat([FINISHED_BOXES, FINISHED_SCORES[:, None]], 1).repeat(2, 1, 1)
    found = decode("mmdeploy", [(FINISHED_LABELS - 1).repeat(2, 1), boxes])
    assert len(found) == 2
    for candidates in found:
        np.testing.assert_array_equal(as_rows(candidates), expected_rows(FINISHED_LABELS - 1))


def test_efficient_nms_of_one_row_at_most():
    outputs = [torch.tensor([[1]]), FINISHED_BOXES[None, :1], FINISHED_SCORES[None, :1], torch.tensor([[2]])]
    (found,) = decode("efficient-nms", outputs)
    np.testing.assert_array_equal(as_rows(found), [[1, 2, 30, 40, np.float32(0.9), 2]])


@pytest.mark.parametrize(
    ("name", "outputs", "message"),
    [
        ("yolov5", [(1, 30, 9)], r"returns \(1, 30, 9\), and this layout needs \(N, A, 10\)"),
        ("yolov8", [(1, 30, 9)], r"needs \(N, 9, A\)"),
        ("yolox", [(1, 30, 10)], r"returns 30 rows, and this layout needs 126 rows for an input of 64 x 96 pixels"),
        ("yolox-maps", [(1, 10, 8, 12)], r"needs \(N, 10, h, w\) for each of the strides"),
        ("end-to-end", [(1, 30, 7)], r"needs \(N, K, 6\)"),
        (
            "detr",
            [(1, 30, 5), (1, 30, 4)],
            r"returns \(1, 30, 5\), \(1, 30, 4\), .* needs logits \(N, Q, 6\)",
        ),
        ("rt-detr", [(1, 30, 5), (1, 29, 4)], r"needs logits \(N, Q, 5\) and boxes \(N, Q, 4\)"),
        ("rt-detr-rows", [(1, 30, 5)], r"needs \(N, Q, 9\)"),
        ("torchvision", [(3, 4), (3,)], r"one of scores, not 1 such outputs"),
        ("torchvision", [(3, 4), (3,), (2,)], r"tensors of one length"),
        ("torchvision", [(3,), (3,)], r"needs boxes \(K, 4\)"),
        ("labels-boxes-scores", [(1, 3, 4), (1, 3)], "not 1 such outputs"),
        ("mmdeploy", [(1, 3, 5), (1, 2)], r"needs class ids \(N, K\)"),
        ("efficient-nms", [(2, 3, 4), (2, 3), (2, 3)], r"needs num_detections \(N, 1\)"),
    ],
)
def test_shapes_that_do_not_fit_are_one_line(name: str, outputs: list[tuple[int, ...]], message: str):
    with pytest.raises(ValueError, match=message) as caught:
        decode(name, [torch.rand(shape) for shape in outputs])
    assert "\n" not in str(caught.value)


def test_class_id_beyond_the_names_is_refused():
    with pytest.raises(ValueError, match="returns class id 7, and the model has 5 class names"):
        decode("end-to-end", [torch.tensor([[[1.0, 2, 30, 40, 0.9, 7]]])])
    with pytest.raises(ValueError, match="returns class id -1"):
        decode("torchvision", [FINISHED_BOXES, FINISHED_LABELS * 0, FINISHED_SCORES])


def test_class_id_of_a_row_below_the_floor_is_not_looked_at():
    (found,) = decode("end-to-end", [torch.tensor([[[1.0, 2, 30, 40, 0.0, -1]]])])
    assert len(found) == 0


def test_at_most_a_thousand_candidates_the_best_ones():
    raw = tensor(np.concatenate([boxes_in_pixels(1, 3000), rng.uniform(0.1, 1, (1, 3000, 1 + CLASSES))], -1))
    (found,) = decode("yolov5", [raw])
    assert len(found) == 1000
    assert_same([found], [plain.yolov5(raw[0].numpy())])


@pytest.mark.parametrize("name", ["yolov5", "yolox", "yolov8"])
def test_image_without_objects_has_no_candidates(name: str):
    width = (4 if name == "yolov8" else 5) + CLASSES
    raw = torch.zeros(2, ANCHORS, width)
    raw[1, :3, 4:] = 0.5
    found = decode(name, [raw.transpose(1, 2) if name == "yolov8" else raw])
    assert [len(candidates) for candidates in found] == [0, 3]


@pytest.mark.usefixtures("one_thread")
def test_decoding_eighty_classes_takes_less_than_two_milliseconds_an_image():
    raw = torch.rand(4, 84, 8400) ** 40
    decoder = LAYOUTS["yolov8"].decode
    best_s = min(_time_s(lambda: decoder([raw], (640, 640), 80)) for _ in range(10))
    assert best_s / 4 < 2e-3


def _time_s(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
