"""Judgements of answers, and windows of them, against a plain reading of their rules."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import orjson
import pytest
from numpy.random import Generator, default_rng

from models.geometry.masks import Mask
from services.accuracy.drift import Summary
from services.errors import OutOfTime
from services.gateway.accuracy.drift_watch import DriftWatch, distribution_of
from services.gateway.accuracy.feedback_kinds import KINDS
from services.gateway.accuracy.feedback_metrics import IOU_THRESHOLD, judge_objects
from services.gateway.accuracy.ground_truth import TrueObjects, read_objects
from services.gateway.accuracy.live_accuracy import Given, Live, entry_of, given_of
from services.gateway.serving.offload import TimeLimit
from services.gateway.serving.served_model import ServedModel
from services.kinds.detection import BOX_MEMBERS
from tests.unit.gateway_fakes import FakeBackend

SIZE = (60, 80)
ENTRY = {"task": "segmentation", "segmentation": "instance", "class_names": ["a", "b", "c"]}


def rectangles(random: Generator, count: int) -> list[tuple[int, int, int, int]]:
    """x_min, y_min, x_max, y_max of some that lie close to each other."""
    corners = random.integers(0, 12, (count, 2))
    sides = random.integers(8, 14, (count, 2))
    return [(x, y, x + width, y + height) for (x, y), (width, height) in zip(corners, sides, strict=True)]


def mask_of(rectangle: tuple[int, int, int, int]) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = rectangle
    return Mask.from_region(np.ones((y_max - y_min, x_max - x_min), bool), (y_min, x_min), SIZE).to_coco()


def iou(one: tuple[int, ...], other: tuple[int, ...], crowd: bool) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (areas[0] if crowd else sum(areas) - both)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_objects_are_matched_as_one_would_do_it_by_hand(seed: int, masked: bool):
    random = default_rng(seed)
    found, there = rectangles(random, 8), rectangles(random, 6)
    found_ids, target_ids = random.integers(0, 3, 8).tolist(), random.integers(0, 3, 6).tolist()
    crowds = (random.random(6) < 0.3).tolist()
    asked = [0, 1] if seed % 2 else None
    answer = {
        "predictions": [
            {"class_id": class_id, "box": dict(zip(BOX_MEMBERS, map(float, box), strict=True)), "mask": mask_of(box)}
            for class_id, box in zip(found_ids, found, strict=True)
            if asked is None or class_id in asked
        ]
    }
    told = [
        {"class": class_id, "crowd": crowd, **({"mask": mask_of(box)} if masked else {"box": boxed(box)})}
        for class_id, crowd, box in zip(target_ids, crowds, there, strict=True)
    ]
    truth = read_objects({"objects": told}, ENTRY, SIZE)

    free = {index for index in range(6) if not crowds[index] and (asked is None or target_ids[index] in asked)}
    expected = {"matched": 0, "found": 0, "targets": len(free), "overlap": 0.0}
    for class_id, box in zip(found_ids, found, strict=True):
        if asked is not None and class_id not in asked:
            continue
        near = [(iou(box, there[i], crowds[i]), i) for i in range(6) if target_ids[i] == class_id]
        best = max((pair for pair in near if pair[1] in free), default=(0.0, -1))
        if best[0] >= IOU_THRESHOLD:
            free.remove(best[1])
            expected["matched"] += 1
            expected["overlap"] += best[0]
        elif any(crowds[i] and value >= IOU_THRESHOLD for value, i in near):
            continue
        expected["found"] += 1
    assert judge_objects(answer, truth, asked, 3) == pytest.approx(expected, abs=1e-6)


def boxed(box: tuple[int, ...]) -> dict[str, int]:
    return dict(zip(BOX_MEMBERS, map(int, box), strict=True))


def test_work_ends_when_nobody_waits_for_it():
    target = {"objects": [{"class": 0, "mask": mask_of((0, 0, 5, 5))}]}
    truth = read_objects(target, ENTRY, SIZE)
    assert isinstance(truth, TrueObjects)
    answer = {"predictions": [{"class_id": 0, "mask": mask_of((0, 0, 5, 5))}]}
    with pytest.raises(OutOfTime):
        read_objects(target, ENTRY, SIZE, TimeLimit(-math.inf))
    with pytest.raises(OutOfTime):
        judge_objects(answer, truth, None, 3, TimeLimit(-math.inf))
    assert judge_objects(answer, truth, None, 3)["matched"] == 1


def test_window_that_slides_is_the_window_that_is_read():
    given = [Given(float(at_s), {"both 0": at_s, f"target {at_s % 3}": 2 * at_s, "found 1": 1}) for at_s in range(9)]
    live = Live.of("semantic", given[:1])
    for count in range(1, 9):
        live = live.after(given[count], 4)
        whole = Live.of("semantic", given[max(0, count - 3) : count + 1][::-1])
        assert list(live.given) == list(whole.given)
        assert live.figures == pytest.approx(whole.figures, nan_ok=True)


def test_class_that_is_not_there_is_in_no_mean():
    # Background: 4 of 6 pixels; class 1: 2 of 4; class 2: 3 pixels found where there is none of it.
    counts = {"both 0": 4, "target 0": 6, "found 0": 4, "both 1": 2, "target 1": 4, "found 1": 2, "found 2": 3}
    assert KINDS["semantic"].compute(counts) == pytest.approx({"iou": 0.5, "miou": (4 / 6 + 0.5) / 2})


def test_entries_of_a_window_are_read_as_they_were_written_and_garbage_is_passed_over():
    given = Given(1.5, {"right": 1, "answers": 1})
    garbage = [b"5", b"[]", b"{}", b"\xff", b'{"at": 1e300, "counts": {}}', b'{"at": 1, "counts": 5}']
    counts = [{"right": "x"}, {"right": None}, {"right": -1}, {"right": True}, {"right": 1e300}, {"matched": 1}]
    strange = [orjson.dumps({"at": 1, "counts": count}) for count in counts]
    assert given_of([*garbage, entry_of(given), *strange], "classification") == [given]


def test_pixels_of_other_things_than_classes_are_no_count():
    given = Given(1.5, {"both 0": 4, "target 12": 6, "found 1": 0})
    strange = [orjson.dumps({"at": 1, "counts": {name: 1}}) for name in ("both", "both x", "right", "both 1234567")]
    assert given_of([entry_of(given), *strange], "semantic") == [given]


def test_entries_of_answers_that_were_not_written_by_a_gateway_are_passed_over():
    strange = [b"", b":", b"0:-1", b"-1:0", b"0:10", b" 0:0", b"1_0:0", b"9999999999:0", b"0:0:0"]
    distribution = distribution_of([*strange, b"7:3", b":0"])
    assert (distribution.images, distribution.class_counts) == (2, {7: 1, None: 1})


def test_score_that_is_no_number_is_not_counted(served_model: ServedModel):
    watch = DriftWatch(10)
    for score in (math.nan, math.inf, 0.5):
        watch.see(served_model, {}, Summary(1, score))
    assert [list(entries) for entries in watch.take().values()] == [[b"1:5"]]


@pytest.fixture
def served_model() -> ServedModel:
    entry = {**FakeBackend.entry, "name": "efficientnet-lite0", "identity": "00"}
    return ServedModel.of(entry, "Fake", cast(Any, None))
