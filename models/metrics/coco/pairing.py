"""Greedy matching of predictions to targets by descending score, as COCO does: each target is matched at most once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTHING = -1
"""In place of a target's index."""


class Pairs(NamedTuple):
    """Overlapping pairs of prediction and target of several images.

    Attributes:
        predictions: (P,) int64, index among all predictions.
        targets: (P,) int64, index among all targets.
        ious: (P,) float64, above 0.
    """

    predictions: NDArray[np.int64]
    targets: NDArray[np.int64]
    ious: NDArray[np.float64]

    def only(self, chosen: NDArray[Any]) -> Pairs:
        """Selects pairs, by a mask or by indices in the wanted order."""
        return Pairs(self.predictions[chosen], self.targets[chosen], self.ious[chosen])


def pair_greedily(
    pairs: Pairs,
    turns: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    wanted: NDArray[np.bool_],
    shared: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Matches predictions to unmatched targets greedily, at T IoU thresholds and for A area ranges at once.

    A prediction gets the first target in its order of preference that reaches the threshold and is wanted, or else the
    first that reaches the threshold. Predictions of the same turn are matched at once, so they must share no target.

    Args:
        pairs: Grouped by prediction, its targets in order of preference.
        turns: (F,), the turn of each prediction.
        thresholds: (T,), the least IoU of a match.
        wanted: (G, A), whether a target is preferred to those that are not (in COCO's words, not ignored).
        shared: (G,), whether a target can be matched any number of times (a crowd).

    Returns:
        (F, T, A), the index of the matched target of each prediction; `NOTHING` where it has none.
    """
    choice = np.full((len(turns), len(thresholds), wanted.shape[1]), NOTHING, np.int32)
    if not len(pairs.predictions):
        return choice
    choosing, starts, counts = np.unique(pairs.predictions, return_index=True, return_counts=True)
    row, slot = (
        np.repeat(np.arange(len(choosing)), counts),
        np.arange(len(pairs.predictions)) - np.repeat(starts, counts),
    )
    targets = np.zeros((len(choosing), counts.max()), np.int32)
    reached = np.zeros((*targets.shape, len(thresholds)), np.bool_)
    targets[row, slot] = pairs.targets
    reached[row, slot] = pairs.ious[:, None] >= thresholds
    left = np.ones((len(shared), *choice.shape[1:]), np.bool_)
    for rows in _by_turn(turns[choosing]):
        offered = targets[rows]
        open_to = reached[rows][..., None] & left[offered]
        best = open_to & wanted[offered][:, :, None]
        best = np.where(best.any(1, keepdims=True), best, open_to)
        has, place = best.any(1), best.argmax(1)
        got = offered[np.arange(len(rows))[:, None, None], place]
        choice[choosing[rows]] = np.where(has, got, NOTHING)
        _, threshold, way = np.nonzero(has)
        left[got[has], threshold, way] = shared[got[has]]
    return choice


def turns_within(groups: NDArray[np.int64], ranks: NDArray[np.int64], asking: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Numbers the predictions of each group in the order of their ranks.

    Args:
        groups: (F,), any numbers, such as of image and class.
        ranks: (F,), order within a group.
        asking: (F,), whether the prediction takes part in the matching.

    Returns:
        (F,), from 0 within each group; 0 for those that take no part.
    """
    members = np.flatnonzero(asking)
    order = members[np.lexsort((ranks[members], groups[members]))]
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    turns = np.zeros(len(groups), np.int64)
    turns[order] = np.arange(len(order)) - np.repeat(starts, counts)
    return turns


def _by_turn(turns: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    order = np.argsort(turns, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(turns[order])) + 1)
