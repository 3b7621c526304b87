"""Goals of a run: which figure is held to which bound."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.goals import Goal, floor_of, goals
from loadtests.samples import Case, Medians, Sample

FLOOR = (
    ("detection", "floor, plain loop", 1, 50.0),
    ("detection", "floor, plain loop", 16, 90.0),
    ("detection", "floor, decoding overlapped", 16, 100.0),
)


def run(*rows: tuple[str, str, int, float], photo: str = "P", **members: Any) -> Medians:
    return Medians(
        Sample(Case(section, system, photo, count), speed, **members) for section, system, count, speed in rows
    )


def reached(found: list[Goal]) -> dict[str, tuple[float | None, bool | None]]:
    return {goal.what.partition(",")[0]: (goal.reached, goal.met) for goal in found}


@pytest.mark.parametrize(("concurrency", "expected"), [(1, 50.0), (8, 100.0), (32, 100.0)])
def test_floor_is_the_faster_loop_over_full_batches_or_the_loop_over_one_photo(concurrency: int, expected: float):
    assert floor_of(run(*FLOOR), "detection", "P", concurrency) == expected


def test_floor_of_one_task_is_none_of_another():
    assert floor_of(run(*FLOOR), "classification", "P", 8) is None


def test_throughput_is_compared_with_the_floor_and_each_peer():
    peers = [("detection", name, 8, speed) for name, speed in (("FastAPI", 20.0), ("LitServe", 25.0), ("mosec", 95.0))]
    assert reached(goals(run(*FLOOR, ("detection", "Tapetum", 8, 100.0), *peers), "split")) == {
        "× floor": (1.0, True),
        "× FastAPI": (5.0, True),
        "× LitServe": (4.0, True),
        "× mosec": (pytest.approx(1.053, abs=1e-3), True),
    }


def test_a_classifier_has_lower_bounds_for_the_floor_than_a_detector():
    for section, met in (("classification", True), ("detection", False)):
        rows = [(section, "floor, plain loop", 8, 100.0), (section, "Tapetum", 8, 86.0)]
        assert reached(goals(run(*rows), "split"))["× floor"] == (0.86, met)


def test_a_lone_request_is_compared_with_mosec_and_with_the_time_of_the_floor():
    rows = [*FLOOR, ("detection", "Tapetum", 1, 40.0), ("detection", "mosec", 1, 40.0)]
    assert reached(goals(run(*rows), "split")) == {"ms above the floor": (5.0, False), "× mosec": (1.0, False)}


@pytest.mark.parametrize(("layout", "met"), [("split", True), ("colocated", False)])
def test_overhead_is_held_to_the_bound_of_the_layout(layout: Any, met: bool):
    (goal,) = goals(run(("noop", "Tapetum", 32, 900.0), system_cpu_ms=0.9), layout)
    assert (goal.what, goal.reached, goal.met) == (
        f"CPU ms per request, no-op model, {layout}, concurrency 32",
        0.9,
        met,
    )


def test_cache_hits_are_compared_with_a_plain_server_on_redis():
    rows = [("cache", "Tapetum", 8, 1600.0), ("cache", "FastAPI + Redis", 8, 3200.0)]
    assert reached(goals(run(*rows), "split")) == {"× FastAPI + Redis": (0.5, False)}


def test_models_are_compared_with_another_checkout_and_an_evaluation_with_the_adapter():
    models = run(("models", "Tapetum", 8, 30.0), ("models", "Tapetum before", 8, 20.0), photo="unet-person")
    (goal,) = goals(models, "split")
    assert (goal.what, goal.met) == ("× Tapetum before, models, unet-person, concurrency 8", True)
    evaluation = run(("evaluation", "Tapetum", 2, 80.0), ("evaluation", "adapter", 2, 100.0))
    assert reached(goals(evaluation, "split")) == {"× adapter": (0.8, False)}


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert reached(goals(run(("cache", "Tapetum", 8, 1600.0)), "split")) == {"× FastAPI + Redis": (None, None)}
