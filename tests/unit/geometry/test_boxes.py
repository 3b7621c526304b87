"""Of many boxes those are given that are asked for, and no two of one thing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import batched_nms

from models.detection.candidates import Candidates
from models.detection.selection import are_boxes, iou, select, suppress
from models.geometry.boxes import with_sizes
from models.parameters import DetectionParameters

coordinates = st.integers(-50 * 1024, 450 * 1024).map(lambda place: place / 1024)  # a box of 1e-16 pixels would vanish
scores = st.floats(0, 1, width=32)
rows = st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates, scores, st.integers(0, 3)), max_size=30)
thresholds = st.floats(0, 1)


def candidates_of(rows) -> Candidates:
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return Candidates(table[:, :4], table[:, 4], table[:, 5].long())


PAIR = candidates_of([(0, 0, 10, 10, 0.8, 0), (0, 0, 10, 8, 0.9, 1), (50, 50, 60, 60, 0.3, 0)])
"""The first two have an IoU of 0.8."""


def test_iou_is_that_of_torchvision_but_for_boxes_without_area():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 5, 15, 15], [3, 3, 3, 3]])
    torch.testing.assert_close(iou(boxes[:2], boxes[:2]), torch.tensor([[1, 1 / 7], [1 / 7, 1]]))
    assert iou(boxes[2:], boxes[2:]).tolist() == [[0]]


def test_coco_boxes_have_sizes():
    assert with_sizes([(1.0, 2, 11, 22)]).tolist() == [[1, 2, 10, 20]]
    assert with_sizes([]).shape == (0, 4)


def test_classes_do_not_suppress_each_other_unless_asked_to():
    assert select(PAIR, DetectionParameters()).scores.tolist() == pytest.approx([0.9, 0.8, 0.3])
    agnostic = select(PAIR, DetectionParameters(class_agnostic=True))
    assert agnostic.scores.tolist() == pytest.approx([0.9, 0.3])
    assert agnostic.class_ids.tolist() == [1, 0]


def test_a_box_stays_where_its_overlap_is_not_greater_than_the_threshold():
    def count(iou_threshold: float) -> int:
        return len(select(PAIR, DetectionParameters(iou_threshold=iou_threshold, class_agnostic=True)))

    assert count(0.79) == 2
    assert count(0.81) == 3


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (DetectionParameters(score_threshold=0.5), [0.9, 0.8]),
        (DetectionParameters(score_threshold=0.95), []),
        (DetectionParameters(score_threshold=0), [0.9, 0.8, 0.3]),
        (DetectionParameters(max_detections=1), [0.9]),
        (DetectionParameters(class_ids=(0,)), [0.8, 0.3]),
        (DetectionParameters(class_ids=(1, 7)), [0.9]),
        (DetectionParameters(class_ids=()), []),
    ],
)
def test_parameters_choose(parameters, expected):
    assert select(PAIR, parameters).scores.tolist() == pytest.approx(expected)


def test_a_class_that_is_not_asked_for_suppresses_nothing():
    kept = select(PAIR, DetectionParameters(class_ids=(0,), class_agnostic=True))
    assert kept.scores.tolist() == pytest.approx([0.8, 0.3])


@pytest.mark.parametrize("box", [(float("nan"), 0, 9, 9), (0, 0, float("inf"), 9), (5, 5, 5, 9), (9, 9, 5, 5)])
def test_what_is_no_box_is_dropped(box):
    kept = select(candidates_of([(*box, 0.99, 0), (0, 0, 10, 10, 0.5, 0)]), DetectionParameters())
    assert kept.scores.tolist() == [0.5]


def test_a_score_that_is_no_number_is_dropped():
    rows = [(0, 0, 10, 10, float("nan"), 0), (0, 0, 10, 10, 0.5, 0)]
    assert select(candidates_of(rows), DetectionParameters(score_threshold=0)).scores.tolist() == [0.5]


def test_of_nothing_nothing_is_chosen():
    for parameters in (DetectionParameters(), DetectionParameters(class_agnostic=True, class_ids=(1,))):
        kept = select(Candidates.none(), parameters)
        assert len(kept) == 0 and kept.boxes.shape == (0, 4)


@given(rows, thresholds, st.booleans())
def test_no_two_that_stay_overlap_beyond_the_threshold(rows, iou_threshold, class_agnostic):
    parameters = DetectionParameters(0, iou_threshold, 1000, class_agnostic=class_agnostic)
    kept = select(candidates_of(rows), parameters)
    overlap = iou(kept.boxes.double(), kept.boxes.double()).fill_diagonal_(0)
    rivals = torch.ones_like(overlap) if class_agnostic else kept.class_ids[:, None] == kept.class_ids
    assert torch.all(overlap * rivals <= iou_threshold + 1e-9)


@given(rows, thresholds, st.booleans())
def test_whatever_goes_has_a_better_one_that_stays(rows, iou_threshold, class_agnostic):
    candidates = candidates_of(rows)
    kept = select(candidates, DetectionParameters(0, iou_threshold, 1000, class_agnostic=class_agnostic))
    likely = candidates[are_boxes(candidates.boxes)]
    overlap = iou(likely.boxes.double(), kept.boxes.double())
    better = kept.scores >= likely.scores[:, None]
    rivals = torch.ones_like(better) if class_agnostic else kept.class_ids == likely.class_ids[:, None]
    stays = (likely.boxes[:, None] == kept.boxes).all(2).any(1)
    assert torch.all(stays | (better & rivals & (overlap > iou_threshold - 1e-9)).any(1))


@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_changes_nothing(rows, random):
    rows = list({row[4]: row for row in rows}.values())  # of equal scores the earlier one is taken first
    shuffled = random.sample(rows, len(rows))
    kept, other = (select(candidates_of(some), DetectionParameters(0, 0.5, 5)) for some in (rows, shuffled))
    assert torch.equal(kept.boxes, other.boxes) and torch.equal(kept.scores, other.scores)
    assert kept.scores.tolist() == sorted(kept.scores.tolist(), reverse=True)


def test_classes_far_apart_are_suppressed_as_exactly_as_the_first():
    generator = torch.Generator().manual_seed(3)
    corners = torch.rand(300, 4, generator=generator) * 1300
    boxes = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:] / 3], 1)
    scores = torch.rand(300, generator=generator)
    first = suppress(boxes, scores, torch.zeros(300, dtype=torch.int64), 0.5)
    last = suppress(boxes, scores, torch.full((300,), 90_000, dtype=torch.int64), 0.5)
    assert torch.equal(first, last)


def test_suppression_agrees_with_torchvisions():
    generator = torch.Generator().manual_seed(4)
    corners = torch.rand(200, 4, generator=generator) * 60
    boxes = torch.cat([corners[:, :2], corners[:, :2] + corners[:, 2:]], 1)
    scores, class_ids = torch.rand(200, generator=generator), torch.randint(5, (200,), generator=generator)
    assert torch.equal(suppress(boxes, scores, class_ids, 0.4), batched_nms(boxes, scores, class_ids, 0.4))
