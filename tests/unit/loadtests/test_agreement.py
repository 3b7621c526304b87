from typing import Any

import numpy as np
import pytest

from loadtests.agreement import agree, confident_predictions, judge, prediction_from
from models.entries import Task
from models.predictions import Classification, Detections, Prediction, SemanticMask
from services.answers.wire import describe_prediction

SIZE = (100, 200)
BOX = (10.0, 10.0, 60.0, 60.0)
SHIFTED_BY_5 = (15.0, 10.0, 65.0, 60.0)  # 45 × 50 in common of 55 × 50: an IoU of 0.82
SHIFTED_BY_10 = (20.0, 10.0, 70.0, 60.0)  # 40 × 50 in common of 60 × 50: an IoU of 0.67


def _objects(*rows: tuple[tuple[float, ...], float], class_id: int = 0) -> Detections:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in rows], np.float32)
    return Detections(boxes, scores, np.full(len(rows), class_id, np.int64), SIZE)


def _classes(*class_ids: int) -> Classification:
    probabilities = np.linspace(0.5, 0.1, len(class_ids), dtype=np.float32)
    return Classification(np.array(class_ids, np.int64), probabilities, SIZE)


def _regions(*columns: tuple[int, int], rows: int = 100) -> SemanticMask:
    """A class for each pair of first and last column, from 1 on."""
    class_map = np.zeros(SIZE, np.uint8)
    for class_id, (first, end) in enumerate(columns, 1):
        class_map[:rows, first:end] = class_id
    return SemanticMask(class_map, np.unique(class_map[class_map > 0]).astype(np.int64), None, SIZE)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (_objects((BOX, 0.9)), _objects((SHIFTED_BY_5, 0.3)), True),
        (_objects((BOX, 0.9)), _objects((SHIFTED_BY_10, 0.9)), False),
        (_objects((BOX, 0.9)), _objects(), False),
        (_objects((BOX, 0.49)), _objects(), True),
        (_objects((BOX, 0.9)), _objects((BOX, 0.9), class_id=1), False),
        (_objects(), _objects(), True),
        (_objects((BOX, 0.9)), _objects((BOX, 0.9), ((100, 0, 150, 50), 0.8)), False),
        (_classes(7, 1, 2), _classes(1, 7, 3), True),
        (_classes(7, 1, 2), _classes(1, 2, 3), False),
        (_regions((0, 50), (100, 150)), _regions((0, 50), (105, 150)), True),
        (_regions((0, 50), (100, 150)), _regions((0, 50), (115, 150)), False),
        (_regions((0, 50)), _regions(), False),
        (_regions((0, 9), rows=20), _regions(), True),
    ],
    ids=[
        "a little moved",
        "moved too far",
        "missing",
        "missing, but nobody was sure",
        "another class",
        "nothing in either",
        "one more",
        "best classes among the best",
        "best class unknown",
        "mask a little smaller",
        "mask much smaller",
        "mask missing",
        "mask missing, but nobody was sure",
    ],
)
def test_answers_agree_where_each_has_what_the_other_is_sure_of(one: Prediction, other: Prediction, expected: bool):
    assert (agree(one, other), agree(other, one)) == (expected, expected)


def test_sure_findings_are_boxes_of_half_a_score_and_classes_of_a_hundredth_of_the_pixels():
    assert confident_predictions(_objects((BOX, 0.9), (BOX, 0.5), (BOX, 0.49))) == 2
    assert confident_predictions(_regions((0, 2), (10, 12), (20, 21), (30, 31))) == 2


TASKS: dict[type[Prediction], Task] = {
    Classification: "classification",
    Detections: "detection",
    SemanticMask: "segmentation",
}
FOUND, NOTHING = _objects((BOX, 0.9)), _objects()


@pytest.mark.parametrize(
    ("expected", "answers", "holds"),
    [
        ([FOUND, NOTHING], [FOUND, NOTHING], True),
        ([FOUND, NOTHING], [NOTHING, NOTHING], False),
        ([FOUND, NOTHING], [FOUND, None], False),
        ([NOTHING, NOTHING], [NOTHING, NOTHING], False),
    ],
    ids=["the same", "something missing", "no answer", "nothing to compare"],
)
def test_system_is_judged_by_all_photos(expected: list[Prediction], answers: list[Prediction | None], holds: bool):
    assert judge("it", expected, answers)[1] is holds


def test_judgement_says_how_many_photos_and_predictions_were_compared():
    what, _ = judge("it", [FOUND, NOTHING], [FOUND, None])
    assert what == "it: agrees with the floor on 1 of 2 photos, 1 of their predictions confident"


@pytest.mark.parametrize(
    "prediction",
    [_objects((BOX, 0.75), (SHIFTED_BY_5, 0.5)), _objects(), _classes(2, 0), _regions((0, 9), (30, 80)), _regions()],
)
def test_answer_of_the_api_is_read_back_as_the_prediction_that_it_was(prediction: Prediction):
    document = describe_prediction(prediction, ("cat", "dog", "cow"))
    assert _as_lists(prediction_from(TASKS[type(prediction)], document)) == _as_lists(prediction)


def _as_lists(prediction: Prediction) -> list[Any]:
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in vars(prediction).values()]
