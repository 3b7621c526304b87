from typing import Any

import numpy as np
import pytest

from loadtests.agreement import agree, judge, prediction_from, sure_findings
from models.predictions import Classification, Detections, Prediction
from services.wire import describe_prediction

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
    ],
)
def test_answers_agree_where_each_has_what_the_other_is_sure_of(one: Prediction, other: Prediction, expected: bool):
    assert (agree(one, other), agree(other, one)) == (expected, expected)


def test_sure_findings_are_boxes_of_half_a_score_and_more():
    assert sure_findings(_objects((BOX, 0.9), (BOX, 0.5), (BOX, 0.49))) == 2


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


def test_judgement_says_how_many_photos_and_findings_were_compared():
    what, _ = judge("it", [FOUND, NOTHING], [FOUND, None])
    assert what == "it: agrees with the floor on 1 of 2 photos, of whose findings 1 are sure"


@pytest.mark.parametrize("prediction", [_objects((BOX, 0.75), (SHIFTED_BY_5, 0.5)), _objects(), _classes(2, 0)])
def test_answer_of_the_api_is_read_back_as_the_prediction_that_it_was(prediction: Prediction):
    document = describe_prediction(prediction, ("cat", "dog", "cow"))
    task = "detection" if isinstance(prediction, Detections) else "classification"
    assert _as_lists(prediction_from(task, document)) == _as_lists(prediction)


def _as_lists(prediction: Prediction) -> list[Any]:
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in vars(prediction).values()]
