"""Release gates: what holds, what does not, and what cannot be meant so."""

from __future__ import annotations

from typing import Any

import pytest

from services.evaluation.gates import Condition, GateError, check_against, check_figures, read_condition


def result(digest: str = "aa", images: int = 10, kind: str = "detection", **figures: float | None) -> dict[str, Any]:
    headline = {name: {"value": value, "low": None, "high": None} for name, value in figures.items()}
    return {"headline": headline, "data": {"digest": digest, "images": images}, "model": {"kind": kind}}


def test_a_condition_has_a_name_and_a_value() -> None:
    assert read_condition("map_50=0.6", name_is_needed=True) == Condition("map_50", 0.6)
    assert read_condition("0.5", name_is_needed=False) == Condition(None, 0.5)


@pytest.mark.parametrize("text", ["map_50", "map_50=", "map_50=much", "map_50=-1", "map_50=nan", "=0.5", "0.5", ""])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(GateError, match="is no condition"):
        read_condition(text, name_is_needed=True)


@pytest.mark.parametrize(("text", "name_is_needed"), [("map_50=60", True), ("ece=1.01", True), ("map=101", False)])
def test_a_bound_that_no_figure_can_reach_is_refused(text: str, name_is_needed: bool) -> None:
    with pytest.raises(GateError, match="from 0 to 1"):
        read_condition(text, name_is_needed=name_is_needed)


def test_a_figure_under_its_bound_fails_and_one_at_its_bound_holds() -> None:
    measured = result(map=0.3, map_50=0.6)
    assert check_figures(measured, [Condition("map_50", 0.6)]) == []
    assert check_figures(measured, [Condition("map", 0.31)]) == ["map is 0.3000, under 0.31"]


def test_an_error_must_be_small() -> None:
    measured = result(top1=0.9, ece=0.05)
    assert check_figures(measured, [Condition("ece", 0.1)]) == []
    assert check_figures(measured, [Condition("ece", 0.01)]) == ["ece is 0.0500, above 0.01"]


def test_a_figure_with_nothing_to_measure_fails_its_gate() -> None:
    assert check_figures(result(map_small=None), [Condition("map_small", 0.0)]) == ["map_small is not known, under 0"]


def test_an_unknown_figure_is_named_with_those_there_are() -> None:
    with pytest.raises(GateError, match="no figure 'mAP'; there are map, map_50"):
        check_figures(result(map=0.1, map_50=0.2), [Condition("mAP", 0.1)])


def test_a_drop_is_counted_in_points_of_the_first_figure() -> None:
    before, now = result(map=0.300, map_50=0.6), result(map=0.294, map_50=0.5)
    assert check_against(now, before, [Condition(None, 0.6)]) == []
    (failure,) = check_against(now, before, [Condition(None, 0.5)])
    assert failure == "map went from 0.3000 to 0.2940, 0.60 points worse, and 0.5 are allowed"


def test_an_error_that_rises_has_dropped() -> None:
    before, now = result(ece=0.01), result(ece=0.05)
    assert check_against(before, now, [Condition("ece", 0)]) == []
    assert check_against(now, before, [Condition("ece", 3)]) != []


def test_a_figure_that_is_gone_has_dropped_and_one_that_never_was_has_not() -> None:
    assert check_against(result(map=None), result(map=0.3), [Condition("map", 99)]) != []
    assert check_against(result(map=0.3), result(map=None), [Condition("map", 0)]) == []


@pytest.mark.parametrize("other", [{"digest": "bb"}, {"images": 9}, {"kind": "instance"}])
def test_runs_on_other_data_or_of_another_kind_are_not_compared(other: dict[str, Any]) -> None:
    with pytest.raises(GateError, match="baseline"):
        check_against(result(map=0.3), result(map=0.3, **other), [Condition("map", 1)])
