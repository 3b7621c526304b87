"""The gate of a rollout: recorded evaluations of the new version against its predecessor's interval."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.rollout.gate import Evaluated, check_gate

RUN = Evaluated("digits", "d1", "classification", 300, "top1", value=0.90, low=0.87)


@pytest.mark.parametrize(("value", "passes"), [(0.95, True), (0.88, True), (0.87, True), (0.8699, False), (0.5, False)])
def test_value_must_reach_the_lower_end_of_the_predecessors_interval(value: float, passes: bool):
    verdict = check_gate([RUN], [replace(RUN, value=value, low=0.0)])
    assert verdict.passes is passes
    assert ("below 0.8700" in verdict.lines[0]) is not passes


def test_version_without_an_evaluation_is_refused():
    assert check_gate([RUN], []) == (False, ("the version has no recorded evaluation",))


@pytest.mark.parametrize("changed", [{"dataset_digest": "d2"}, {"images": 10}, {"kind": "detection"}])
def test_evaluations_on_other_data_are_not_compared(changed: dict[str, Any]):
    verdict = check_gate([RUN], [replace(RUN, **changed)])
    assert not verdict.passes
    assert verdict.lines[0] == "no data set on which both versions were evaluated; the predecessor's: digits"


def test_every_common_data_set_must_pass():
    other = replace(RUN, dataset="photos", dataset_digest="p")
    verdict = check_gate([RUN, other], [RUN, replace(other, value=0.1)])
    assert (verdict.passes, len(verdict.lines)) == (False, 2)


def test_newest_evaluation_counts():
    assert check_gate([RUN], [RUN, replace(RUN, value=0.1)]).passes
    assert not check_gate([RUN], [replace(RUN, value=0.1), RUN]).passes


def test_figure_that_is_not_known_does_not_pass():
    assert not check_gate([RUN], [replace(RUN, value=float("nan"))]).passes
    assert not check_gate([replace(RUN, low=float("nan"))], [RUN]).passes


def test_evaluation_is_read_from_the_accuracy_of_a_server():
    told = {
        "dataset": "digits",
        "dataset_digest": "d1",
        "kind": "classification",
        "images": 300,
        "figures": {"top1": {"value": 0.9, "low": 0.87, "high": 0.93}, "top5": {"value": 1, "low": 1, "high": 1}},
    }
    assert Evaluated.from_dict(told) == RUN
    with pytest.raises(ValueError, match="no recorded evaluation"):
        Evaluated.from_dict({**told, "figures": {}})
