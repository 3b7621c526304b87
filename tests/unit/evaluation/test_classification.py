import json
import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from models.datasets.samples import ClassTarget, RegionTarget
from services.evaluation.kinds.classification_metric import ClassificationMetric
from services.evaluation.scoring import Measured, Record

PETS = ("cat", "dog", "owl")
HEADLINE = [
    "top1",
    "top5",
    *(f"{name}_{mean}" for mean in ("macro", "weighted") for name in ("precision", "recall", "f1")),
    "average_precision",
    "roc_auc",
    "ece",
]


def record(index: int, target: int, *answer: tuple[int, float]) -> Record:
    rows = [{"class_id": class_id, "class_name": "", "probability": probability} for class_id, probability in answer]
    return Record(index, index + 100, f"{index}.jpg", (8, 8), ClassTarget(target), {"predictions": rows})


RECORDS = [
    record(0, 0, (0, 0.75), (1, 0.125), (2, 0.125)),
    record(1, 0, (1, 0.5), (0, 0.25), (2, 0.25)),
    record(2, 1, (1, 0.875), (0, 0.125), (2, 0.0)),
    record(4, 1, (1, 1.0)),
]


def measured(records: list[Record], names: tuple[str, ...] = PETS, **settings: Any) -> Measured:
    metric = ClassificationMetric(names, tuple(range(len(names))), **settings)
    return metric.compute([metric.update(records)])


def random_records(count: int, classes: int) -> list[Record]:
    drawing = np.random.default_rng(0)
    targets = drawing.integers(0, classes, count)
    probabilities = drawing.dirichlet(np.ones(classes), count)
    probabilities[np.arange(count), targets] += 0.2
    rows = np.round(probabilities / 1.2, 6)
    return [
        record(index, int(target), *((int(place), float(row[place])) for place in np.argsort(-row, kind="stable")))
        for index, (target, row) in enumerate(zip(targets, rows, strict=True))
    ]


def test_headline_by_hand() -> None:
    headline = measured(RECORDS).headline
    assert list(headline) == HEADLINE
    assert headline["top1"].value == 3 / 4
    assert headline["precision_macro"].value == pytest.approx((1 + 2 / 3) / 2)
    assert headline["recall_macro"].value == pytest.approx((1 / 2 + 1) / 2)
    assert headline["f1_macro"].value == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert headline["recall_weighted"].value == headline["top1"].value
    assert headline["average_precision"].value == 1
    assert headline["roc_auc"].value == 1
    assert headline["ece"].value == pytest.approx((0.25 + 0.5 + 0.125 + 0) / 4)


def test_top_five_says_nothing_of_five_classes_and_counts_places_of_six() -> None:
    assert math.isnan(measured(RECORDS).headline["top5"].value)
    fifth = record(0, 4, (0, 0.3), (1, 0.2), (2, 0.2), (3, 0.2), (4, 0.1), (5, 0.0))
    last = record(1, 5, (0, 0.3), (1, 0.2), (2, 0.2), (3, 0.2), (4, 0.1), (5, 0.0))
    assert measured([fifth, last], tuple("abcdef")).headline["top5"].value == 1 / 2


def test_the_order_of_the_answer_decides_between_equal_probabilities() -> None:
    tied = record(0, 1, (2, 0.5), (1, 0.5), (0, 0.0))
    assert measured([tied]).headline["top1"].value == 0


def test_a_class_without_images_has_nan_in_its_row_and_is_left_out_of_means() -> None:
    rows = measured(RECORDS).per_class
    assert [row["targets"] for row in rows] == [2, 2, 0]
    assert [row["class_name"] for row in rows] == list(PETS)
    assert all(math.isnan(rows[2][name]) for name in ("precision", "recall", "f1", "average_precision", "roc_auc"))
    assert rows[1]["precision"] == pytest.approx(2 / 3)


def test_only_measured_classes_have_rows_and_others_can_still_be_answered() -> None:
    metric = ClassificationMetric(PETS, (0, 1))
    found = metric.compute([metric.update([record(0, 0, (2, 0.9), (0, 0.1)), record(1, 1, (1, 1.0))])])
    assert [row["class_id"] for row in found.per_class] == [0, 1]
    assert found.headline["top1"].value == 1 / 2
    assert found.details["confusion"]["class_ids"] == [0, 1, 2]


def test_confusions_are_counted_and_listed() -> None:
    details = measured([*RECORDS, record(5, 0, (1, 0.9)), record(6, 1, (0, 0.9))]).details
    assert details["confusion"] == {"class_ids": [0, 1], "matrix": [[1, 2], [1, 2]]}
    assert details["most_confused"] == [
        {"target": 0, "prediction": 1, "count": 2},
        {"target": 1, "prediction": 0, "count": 1},
    ]


def test_there_is_no_matrix_and_no_curve_of_single_classes_above_sixty() -> None:
    names = tuple(map(str, range(70)))
    details = measured([record(index, index, (index, 1.0)) for index in range(61)], names, replicates=5).details
    assert details["confusion"] is None
    assert [curve["class_id"] for curve in details["curves"]] == [None]


def test_curves_begin_with_that_of_all_classes_and_leave_out_absent_ones() -> None:
    curves = measured(RECORDS).details["curves"]
    assert [curve["class_id"] for curve in curves] == [None, 0, 1]
    assert curves[1]["precision"] == [1.0] * 101


def test_reliability_has_fifteen_bins_with_all_images() -> None:
    found = measured(RECORDS).details["reliability"]
    assert [len(found[name]) for name in ("edges", "confidence", "accuracy", "count")] == [16, 15, 15, 15]
    assert sum(found["count"]) == 4
    assert (found["confidence"][14], found["accuracy"][14]) == (1, 1)
    assert math.isnan(found["accuracy"][0])


def test_images_are_ranked_by_the_probability_of_the_right_class() -> None:
    ranking = measured(RECORDS).ranking
    assert ranking.indices.tolist() == [0, 1, 2, 4]
    assert ranking.quality.tolist() == [0.75, 0.25, 0.875, 1]
    assert ranking.wrong_confidence.tolist() == pytest.approx([math.nan, 0.5, math.nan, math.nan], nan_ok=True)


def test_figures_of_classes_are_scikit_learns() -> None:
    records = random_records(200, 7)
    found = measured(records, tuple("abcdefg"), replicates=10)
    targets = np.array([item.target.class_id for item in records if isinstance(item.target, ClassTarget)])
    probabilities = np.zeros((200, 7), np.float32)
    for place, item in enumerate(records):
        for row in item.answer["predictions"]:
            probabilities[place, row["class_id"]] = row["probability"]
    for row in found.per_class:
        of_class = targets == row["class_id"], probabilities[:, row["class_id"]]
        assert row["average_precision"] == pytest.approx(average_precision_score(*of_class), abs=1e-12)
        assert row["roc_auc"] == pytest.approx(roc_auc_score(*of_class), abs=1e-12)


def test_parts_give_the_same_as_all_at_once() -> None:
    records = random_records(60, 7)
    metric = ClassificationMetric(tuple("abcdefg"), tuple(range(7)), replicates=50)
    at_once = metric.compute([metric.update(records)])
    parts = [metric.update(records[:10]), metric.update([]), metric.update(records[10:])]
    in_parts = metric.compute(parts)
    assert in_parts.headline == at_once.headline
    assert json.dumps(in_parts.details) == json.dumps(at_once.details)
    assert in_parts.per_class == at_once.per_class


@pytest.mark.parametrize("records", [[], [RECORDS[0]]], ids=["no image", "one image"])
def test_of_next_to_nothing_there_are_figures_without_a_warning(records: list[Record]) -> None:
    found = measured(records, replicates=20)
    top1 = found.headline["top1"]
    if records:
        assert (top1.value, top1.low, top1.high) == (1, 1, 1)
        assert math.isnan(found.headline["roc_auc"].value)
    else:
        assert all(math.isnan(number) for figure in found.headline.values() for number in (figure.value, figure.low))
        assert [row["targets"] for row in found.per_class] == [0, 0, 0]


def test_without_parts_there_are_no_figures() -> None:
    assert math.isnan(ClassificationMetric(PETS, (0, 1)).compute([]).headline["top1"].value)


def test_every_figure_lies_within_its_interval() -> None:
    found = measured(random_records(150, 30), tuple(map(str, range(30))), replicates=200)
    for figure in found.headline.values():
        assert 0 <= figure.low <= figure.value <= figure.high <= 1
    assert found.headline["top1"].high - found.headline["top1"].low == pytest.approx(
        2 * 1.96 * math.sqrt(found.headline["top1"].value * (1 - found.headline["top1"].value) / 150), rel=0.15
    )
    assert (
        found.protocol["bootstrap"]["replicates"] == found.protocol["bootstrap"]["replicates_average_precision"] == 200
    )


def test_another_seed_moves_the_interval_and_not_the_figure() -> None:
    records = random_records(50, 7)
    one, other = (measured(records, tuple("abcdefg"), seed=seed, replicates=40).headline["ece"] for seed in (0, 1))
    assert one.value == other.value
    assert one.low != other.low


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (record(0, 0), "0.jpg: the answer lists no class"),
        (record(0, 0, (3, 1.0)), "0.jpg: the answer lists a class that is not in 0 to 2"),
        (record(0, 0, (-1, 1.0)), "not in 0 to 2"),
        (record(0, 0, (0, 1.0), (1, math.nan)), "0.jpg: the answer has a probability that is no number"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(wrong: Record, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ClassificationMetric(PETS, (0, 1)).update([wrong])


def test_a_target_of_another_kind_is_refused() -> None:
    pixels = Record(0, 0, "0.png", (1, 1), RegionTarget(np.zeros((1, 1), np.uint8)), RECORDS[0].answer)
    with pytest.raises(TypeError, match="measured by classes, not by RegionTarget"):
        ClassificationMetric(PETS, (0, 1)).update([pixels])


def test_replicates_of_curves_are_fewer_where_images_times_classes_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.evaluation.kinds.classification_metric._CURVE_WORK", 150 * 7 * 120)
    found = measured(random_records(150, 7), tuple("abcdefg"), replicates=300)
    assert found.protocol["bootstrap"]["replicates"] == 300
    assert found.protocol["bootstrap"]["replicates_average_precision"] == 120
    assert found.headline["roc_auc"].low < found.headline["roc_auc"].value < found.headline["roc_auc"].high
    monkeypatch.setattr("services.evaluation.kinds.classification_metric._CURVE_WORK", 0)
    found = measured(random_records(150, 7), tuple("abcdefg"), replicates=300)
    assert found.protocol["bootstrap"]["replicates_average_precision"] == 100
