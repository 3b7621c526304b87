"""What is counted of answers, and how far two counts are apart."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import orjson
import pytest

from models.geometry.masks import Mask
from models.parameters import SegmentationParameters
from models.predictions import Classification, Detections, InstanceMasks, Prediction, SemanticMask
from services.accuracy.drift import (
    NOTHING,
    Distribution,
    Summary,
    class_bins,
    compare,
    expected_by_chance,
    population_stability_index,
    score_bin,
    summarise,
)
from services.answers.wire import describe_prediction

NAMES = ("background", "cat", "dog", "cow")
CLASS_MAP = np.array([[0, 0, 1, 1], [2, 2, 2, 0]], np.uint8)
BOXES = np.array([[0, 0, 2, 2], [1, 1, 3, 2]], np.float32)
SCORES = np.array([0.75, 0.5], np.float32)
MASKS = (Mask.from_array(CLASS_MAP == 1), Mask.from_array(CLASS_MAP == 2))
SIZE = (2, 4)


def ids(*class_ids: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(class_ids, np.int64)


@pytest.mark.parametrize(
    ("prediction", "summary"),
    [
        (Classification(ids(3, 1), SCORES, SIZE), Summary(3, 0.75)),
        (Detections(BOXES, SCORES, ids(2, 1), SIZE), Summary(2, 0.75)),
        (InstanceMasks(BOXES, SCORES, ids(1, 2), SIZE, MASKS), Summary(1, 0.75)),
        (SemanticMask(CLASS_MAP, ids(1, 2), None, SIZE), Summary(2, 0.625)),
        (SemanticMask(CLASS_MAP, ids(1, 2), np.array([0.9, 0.8], np.float32), SIZE), Summary(2, 0.625)),
        (Detections(BOXES[:0], SCORES[:0], ids(), SIZE), NOTHING),
        (SemanticMask(CLASS_MAP * 0, ids(), None, SIZE), NOTHING),
    ],
    ids=["class", "box", "object", "regions", "regions with probabilities", "no box", "no region"],
)
@pytest.mark.parametrize("mask_format", ["rle", "polygon", "png"])
def test_answer_is_boiled_down_to_its_best_finding(prediction: Prediction, summary: Summary, mask_format: Any):
    answer = describe_prediction(prediction, NAMES, SegmentationParameters(mask_format=mask_format))
    assert summarise(answer) == summary
    assert summarise(orjson.loads(orjson.dumps(answer))) == summary


@pytest.mark.parametrize(
    ("score", "index"), [(0.0, 0), (0.0999, 0), (0.1, 1), (0.95, 9), (1.0, 9), (1.2, 9), (-0.1, 0)]
)
def test_every_score_has_a_bin(score: float, index: int):
    assert score_bin(score) == index


def test_distribution_survives_json_and_adds_up():
    one, other = Distribution(), Distribution()
    for summary in (Summary(3, 0.95), Summary(3, 0.15), NOTHING):
        one.add(summary)
    other.add(Summary(7, 1.0))
    other.merge(Distribution.from_dict(orjson.loads(orjson.dumps(one.to_dict()))))
    assert (other.score_counts, other.images) == ([1, 1, 0, 0, 0, 0, 0, 0, 0, 2], 4)
    assert other.class_counts == {7: 1, 3: 2, None: 1}


@pytest.mark.parametrize(
    "change",
    [
        {"images": 3},
        {"score_counts": [1]},
        {"score_counts": [2, -1, 0, 0, 0, 0, 0, 0, 0, 0]},
        {"class_counts": {"cat": 1}},
        {"class_counts": None},
    ],
)
def test_distribution_that_does_not_add_up_is_refused(change: dict[str, Any]):
    one = Distribution()
    one.add(Summary(3, 0.95))
    with pytest.raises(ValueError, match="distribution"):
        Distribution.from_dict({**one.to_dict(), **change})


def test_index_is_the_formula_worked_by_hand():
    # Shares with half an image added to each count: 60.5/101 and 40.5/101 against 40.5/101 and 60.5/101.
    expected = 2 * (20 / 101) * math.log(60.5 / 40.5)
    assert population_stability_index([60, 40], [40, 60]) == pytest.approx(expected, abs=1e-12)
    assert population_stability_index([40, 60], [60, 40]) == pytest.approx(expected, abs=1e-12)


def test_index_is_nothing_for_equal_shares_and_bins_that_are_empty_on_both_sides():
    assert population_stability_index([50, 50, 0], [50, 50, 0]) == 0.0
    assert population_stability_index([60, 40, 0, 0], [40, 60, 0, 0]) == population_stability_index([60, 40], [40, 60])


def test_index_is_finite_where_one_side_has_never_seen_a_bin_and_nan_without_images():
    assert 1 < population_stability_index([100, 0], [0, 100]) < 20
    assert math.isnan(population_stability_index([0, 0], [5, 5]))
    assert math.isnan(expected_by_chance([0, 0], [5, 5]))


def test_index_of_different_bins_is_refused():
    with pytest.raises(ValueError, match="zip"):
        population_stability_index([1, 2], [1, 2, 3])


def test_chance_alone_gives_what_is_expected_of_it():
    draw = random.Random(5)
    reference, observed = 500, 200

    def counts(images: int) -> list[int]:
        bins = [0] * 10
        for _ in range(images):
            bins[draw.randrange(10)] += 1
        return bins

    indices = [population_stability_index(counts(reference), counts(observed)) for _ in range(300)]
    by_chance = expected_by_chance([50] * 10, [20] * 10)
    assert by_chance == pytest.approx(9 * (1 / 500 + 1 / 200))
    assert sum(indices) / len(indices) == pytest.approx(by_chance, rel=0.1)


def test_only_frequent_classes_are_compared_one_by_one():
    reference, observed = Distribution(), Distribution()
    for class_id in range(30):
        for _ in range(31 - class_id):
            reference.count(class_id, 5)
    observed.count(29, 5)
    observed.count(None, 0)
    observed.count(0, 5)
    expected, seen = class_bins(reference, observed)
    assert expected == [*range(31, 11, -1), sum(range(2, 12))]
    assert seen == [1, *[0] * 19, 2]


def test_that_nothing_was_found_is_a_class_of_its_own():
    reference, observed = Distribution(), Distribution()
    for n in range(100):
        reference.add(Summary(0, 0.8))
        observed.add(Summary(0, 0.8) if n % 2 else NOTHING)
    compared = compare(reference, observed)
    assert compared["class"].index > 0.25 and compared["score"].index > 0.25


@pytest.mark.parametrize(
    ("reference", "observed", "kinds"), [(100, 100, {"score", "class"}), (99, 500, set()), (500, 99, set())]
)
def test_few_images_are_not_compared(reference: int, observed: int, kinds: set[str]):
    sides = (Distribution(), Distribution())
    for side, images in zip(sides, (reference, observed), strict=True):
        for _ in range(images):
            side.add(Summary(1, 0.5))
    assert set(compare(*sides)) == kinds
