"""What `loadtests.shadow` makes of its rounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.arrivals import Arrival
from loadtests.shadow import Rounds, goals_of, write_two_versions
from models.catalog.cards import read_card
from services.serve_file import read_serve_file


def rounds(slowest_s: float, *, shadows: int = 0, failed: int = 0) -> Rounds:
    """98 quick answers, two slow ones, and failures."""
    took_s = [0.01] * 98 + [slowest_s] * 2
    answered = [Arrival(0.0, 0.0, each, "200") for each in took_s]
    return Rounds().and_then([*answered, *[Arrival(0.0, 0.0, 9.0, "503")] * failed], shadows, 0)


def test_goals_are_a_ratio_of_p99_no_failure_and_a_shadow_that_ran():
    goals = goals_of(rounds(0.1), rounds(0.12, shadows=7))
    assert [goal.met for goal in goals] == [True, True, True]
    assert goals[0].reached == pytest.approx(1.2)
    assert [goal.met for goal in goals_of(rounds(0.1), rounds(0.13))] == [False, True, False]
    assert [goal.met for goal in goals_of(rounds(0.1, failed=1), rounds(0.1, shadows=1))] == [True, False, True]


def test_rounds_add_up():
    both = rounds(0.1, shadows=2).and_then(rounds(0.2).arrivals, 3, 4)
    assert (len(both.arrivals), both.shadows, both.dropped) == (200, 5, 4)


def test_two_versions_have_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAPETUM_CATALOG", str(tmp_path))
    topology = read_serve_file(write_two_versions(tmp_path, "yolo-person")).topology
    assert [spec.name for spec in topology.deployments[0].models] == ["yolo-person@1", "yolo-person@2"]
    assert topology.version_policy == {"yolo-person": "1"}
    card = json.loads((tmp_path / "yolo-person@2.json").read_text())
    assert read_card(tmp_path / "yolo-person@2.json").version == "2"
    assert (tmp_path / card["weights"]["file"]).is_file()
