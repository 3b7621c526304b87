"""Turns on a shared device are as long as the images that were run took."""

from __future__ import annotations

from services.deployments.fair_turns import FairTurns


def test_images_of_clients_that_have_gone_do_not_count_as_fast_ones():
    turns = FairTurns()
    for _ in range(3):
        turns.end(turns.begin("slow", 4, 0.0), 4, 0.4)
    for _ in range(20):
        turns.end(turns.begin("slow", 4, 1.0), 0, 1e-6)
    turns.begin("other", 1, 2.0)
    assert turns.most_images("slow", 2.0) == 1, "each takes 0.1 s, and so does a turn"
