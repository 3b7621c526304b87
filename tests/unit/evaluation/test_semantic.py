import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.datasets.samples import IGNORED, ClassTarget, RegionTarget
from models.geometry.masks import Mask
from services.evaluation.kinds.semantic_metric import SemanticMetric
from services.evaluation.scoring import Measured, Record

NAMES = ("background", "road", "tree", "sky")


def record(index: int, target: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> Record:
    rows = [
        {"class_id": int(class_id), "mask": Mask.from_array(prediction == class_id).to_coco()}
        for class_id in np.unique(prediction[prediction > 0])
    ]
    size = (target.shape[0], target.shape[1])
    return Record(index, index, f"{index}.png", size, RegionTarget(target), {"predictions": rows})


def picture(*rows: str) -> NDArray[np.uint8]:
    return np.array([[IGNORED if letter == "?" else int(letter) for letter in row] for row in rows], np.uint8)


RECORDS = [
    record(3, picture("0011", "0011", "0011"), picture("0001", "0001", "0001")),
    record(5, picture("0022", "??22"), picture("0022", "1122")),
    record(6, picture("00", "00"), picture("00", "00")),
    record(7, picture("??", "??"), picture("01", "11")),
]


def measured(records: list[Record], classes: tuple[int, ...] = (0, 1, 2), **settings: Any) -> Measured:
    metric = SemanticMetric(NAMES, classes, **settings)
    return metric.compute([metric.update(records)])


def random_records(count: int) -> list[Record]:
    drawing = np.random.default_rng(0)
    maps = np.repeat(np.repeat(drawing.integers(0, 3, (2, count, 3, 4), np.uint8), 6, 2), 6, 3)
    right = drawing.random(maps[0].shape) < 0.7
    return [record(index, *pair) for index, pair in enumerate(zip(maps[0], np.where(right, *maps), strict=True))]


def test_headline_by_hand() -> None:
    """Background: 12 of 15 pixels in either; road: 3 of 6; tree: 4 of 4. All of 22 known pixels but 3 are right."""
    headline = measured(RECORDS).headline
    assert list(headline) == ["miou", "iou", "dice", "pixel_accuracy", "fwiou", "boundary_iou"]
    assert headline["miou"].value == pytest.approx((12 / 15 + 3 / 6 + 1) / 3)
    assert headline["iou"].value == pytest.approx((3 / 6 + 1) / 2)
    assert headline["dice"].value == pytest.approx((6 / 9 + 1) / 2)
    assert headline["pixel_accuracy"].value == pytest.approx(19 / 22)
    assert headline["fwiou"].value == pytest.approx((12 * 12 / 15 + 6 * 3 / 6 + 4 * 1) / 22)


def test_boundaries_are_summed_over_images_before_they_are_divided() -> None:
    """Road: 3 pixels of 6 are near both outlines. Tree: all four. The image's edge is an outline, and all is near."""
    assert measured(RECORDS).headline["boundary_iou"].value == pytest.approx((3 / 6 + 1) / 2)


def test_there_is_a_row_for_every_measured_class_with_pixels_as_targets() -> None:
    rows = measured(RECORDS, (0, 1, 2, 3)).per_class
    assert [(row["class_id"], row["class_name"], row["targets"]) for row in rows] == [
        (0, "background", 12),
        (1, "road", 6),
        (2, "tree", 4),
        (3, "sky", 0),
    ]
    assert [row["iou"] for row in rows[:3]] == pytest.approx([12 / 15, 3 / 6, 1])
    assert all(math.isnan(rows[3][name]) for name in ("iou", "dice", "boundary_iou"))


def test_the_confusion_is_in_pixels_by_target() -> None:
    assert measured(RECORDS).details["confusion"] == {
        "class_ids": [0, 1, 2],
        "matrix": [[12, 0, 0], [3, 3, 0], [0, 0, 4]],
    }


def test_what_is_predicted_of_a_class_that_is_not_measured_is_background() -> None:
    found = measured([record(0, picture("0022"), picture("1322"))], (2,))
    assert found.details["confusion"] == {"class_ids": [0, 2], "matrix": [[2, 0], [0, 2]]}
    assert found.headline["miou"].value == 1


def test_images_are_ranked_by_the_classes_that_they_have() -> None:
    ranking = measured(RECORDS).ranking
    assert ranking.indices.tolist() == [3, 5, 6, 7]
    assert ranking.quality.tolist() == pytest.approx([3 / 6, 1, 1, math.nan], nan_ok=True)
    assert ranking.wrong_confidence.tolist() == pytest.approx([3 / 12] + [math.nan] * 3, nan_ok=True)


def test_parts_give_the_same_as_all_at_once() -> None:
    records = random_records(12)
    metric = SemanticMetric(NAMES, (0, 1, 2), replicates=50)
    at_once = metric.compute([metric.update(records)])
    in_parts = metric.compute([metric.update(records[:5]), metric.update([]), metric.update(records[5:])])
    assert in_parts.headline == at_once.headline
    assert in_parts.per_class == at_once.per_class
    assert json.dumps(in_parts.details) == json.dumps(at_once.details)


def test_every_figure_lies_within_its_interval() -> None:
    headline = measured(random_records(30), replicates=200).headline
    for figure in headline.values():
        assert 0 <= figure.low < figure.value < figure.high <= 1


def test_the_interval_of_pixel_accuracy_is_as_wide_as_theory_says() -> None:
    records = random_records(40)
    shares = np.array([1 - wrong for wrong in np.nan_to_num(measured(records).ranking.wrong_confidence)])
    figure = measured(records, replicates=2000).headline["pixel_accuracy"]
    assert figure.value == pytest.approx(shares.mean())
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * shares.std() / math.sqrt(40), rel=0.08)


@pytest.mark.parametrize("records", [[], [RECORDS[3]]], ids=["no image", "nothing known"])
def test_where_there_is_nothing_to_measure_all_is_nan_without_a_warning(records: list[Record]) -> None:
    found = measured(records, replicates=20)
    assert all(math.isnan(number) for figure in found.headline.values() for number in (figure.value, figure.high))
    assert [row["targets"] for row in found.per_class] == [0, 0, 0]


def test_without_parts_there_are_no_figures() -> None:
    assert math.isnan(SemanticMetric(NAMES, (0, 1)).compute([]).headline["miou"].value)


def test_the_interval_of_one_image_is_its_figure() -> None:
    figure = measured(RECORDS[:1], replicates=20).headline["iou"]
    assert (figure.value, figure.low, figure.high) == (1 / 2, 1 / 2, 1 / 2)


def answered(*rows: dict[str, Any]) -> Record:
    return Record(0, 0, "0.png", (2, 2), RegionTarget(picture("00", "01")), {"predictions": list(rows)})


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (
            answered({"class_id": 1, "mask": Mask.from_array(np.ones((2, 3), bool)).to_coco()}),
            r"is \(2, 3\), and",
        ),
        (answered({"class_id": 4, "mask": Mask.from_array(np.ones((2, 2), bool)).to_coco()}), "the class 4, which"),
        (answered({"class_id": 1}), "must be run lengths"),
        (answered({"class_id": 1, "mask": "iVBORw0K"}), "must be run lengths"),
        (record(0, picture("03"), picture("00")), "0.png: the class map has the class 3, which is not measured"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Record, problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        SemanticMetric(NAMES, (0, 1, 2)).update([wrong])


def test_all_255_classes_that_a_class_map_can_hold_are_measured() -> None:
    class_map = np.arange(255, dtype=np.uint8).reshape(15, 17)
    metric = SemanticMetric(tuple(map(str, range(255))), tuple(range(255)), replicates=2)
    assert metric.compute([metric.update([record(0, class_map, class_map)])]).headline["miou"].value == 1


def test_the_protocol_tells_how_intervals_came_about() -> None:
    told = measured(RECORDS, seed=3, replicates=20).protocol["bootstrap"]
    assert {"over": "images", "replicates": 20, "seed": 3, "level": 0.95}.items() <= told.items()


def test_maps_of_another_size_and_targets_of_another_kind_are_refused() -> None:
    other_size = Record(0, 0, "0.png", (2, 3), RegionTarget(picture("00", "01")), {"predictions": []})
    with pytest.raises(ValueError, match=r"the class map is \(2, 2\), and the image \(2, 3\)"):
        SemanticMetric(NAMES, (0, 1)).update([other_size])
    other_kind = Record(0, 0, "0.png", (2, 2), ClassTarget(0), {"predictions": []})
    with pytest.raises(TypeError, match="measured by class maps, not by ClassTarget"):
        SemanticMetric(NAMES, (0, 1)).update([other_kind])
