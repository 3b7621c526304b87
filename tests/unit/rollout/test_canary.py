"""Canary and shadow get their share of the request ids, and always the same ones."""

from __future__ import annotations

import pytest

from services.rollout.canary import Canary
from services.rollout.shadow import Shadow

IDS = [f"request-{number}" for number in range(20_000)]


def chosen(weight: float, version: str = "2") -> set[str]:
    canary = Canary(version=version, weight=weight)
    return {one for one in IDS if canary.takes("net", one, now_s=0.0)}


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
    assert [number for number in range(20) if f"request-{number}" in chosen(50)] == [
        2,
        5,
        6,
        9,
        10,
        11,
        12,
        15,
        16,
        17,
        19,
    ]


def test_next_canary_gets_other_requests():
    both = chosen(10) & chosen(10, "3")
    assert len(both) == pytest.approx(0.01 * len(IDS), rel=0.3), "as many as two independent samples share"


def test_canary_ends_at_its_time():
    canary = Canary(version="2", weight=100, until_s=1000.0)
    assert canary.takes("net", "a", now_s=1000.0)
    assert not canary.takes("net", "a", now_s=1000.1)


def test_shadow_samples_its_share_independently_of_the_canary():
    shadow = Shadow(version="2", share=0.1)
    sampled = {one for one in IDS if shadow.samples("net", one)}
    assert len(sampled) == pytest.approx(0.1 * len(IDS), rel=0.1)
    assert len(sampled & chosen(50)) == pytest.approx(0.05 * len(IDS), rel=0.15)
