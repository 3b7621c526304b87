"""The canary gets its share of the request ids, and always the same ones."""

from __future__ import annotations

import pytest

from services.rollout.canary import is_canary

IDS = [f"request-{number}" for number in range(20_000)]


def chosen(weight: float, version: str = "2") -> set[str]:
    return {one for one in IDS if is_canary("net", version, weight, one)}


@pytest.mark.parametrize("weight", [1, 5, 25, 50, 99.5])
def test_share_of_ids_is_the_weight(weight: float):
    share = weight / 100
    error = (share * (1 - share) / len(IDS)) ** 0.5
    assert abs(len(chosen(weight)) / len(IDS) - share) < 4 * error


def test_nobody_at_0_and_everybody_at_100():
    assert chosen(0) == set()
    assert chosen(100) == set(IDS)


def test_raising_the_weight_moves_no_id_back():
    before: set[str] = set()
    for weight in range(0, 101, 5):
        now = chosen(weight)
        assert before <= now
        before = now


def test_same_ids_are_chosen_by_every_gateway_and_release():
    first = [number for number in range(20) if is_canary("net", "2", 50, f"request-{number}")]
    assert first == [0, 1, 2, 5, 7, 10, 11, 15, 18]


def test_next_canary_gets_other_requests():
    both = chosen(10) & chosen(10, "3")
    assert len(both) == pytest.approx(0.01 * len(IDS), rel=0.3), "as many as two independent samples share"
