"""Which found object gets which target, where each target can be had once: best score first, as COCO does it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTHING = -1
"""In place of a target's index."""


class Pairs(NamedTuple):
    """Found objects and targets of several images that overlap.

    Attributes:
        found: (P,) int64, index among all found objects.
        targets: (P,) int64, index among all targets.
        ious: (P,) float64, above 0.
    """

    found: NDArray[np.int64]
    targets: NDArray[np.int64]
    ious: NDArray[np.float64]

    def only(self, chosen: NDArray[Any]) -> Pairs:
        """Some of the pairs, or all in another order."""
        return Pairs(self.found[chosen], self.targets[chosen], self.ious[chosen])


def pair_greedily(
    pairs: Pairs,
    turns: NDArray[np.int64],
    thresholds: NDArray[np.float64],
    wanted: NDArray[np.bool_],
    shared: NDArray[np.bool_],
) -> NDArray[np.int32]:
    """Lets found objects choose among the targets that are left, at T thresholds and in A ways at once.

    An object takes the first target that it reaches and that is wanted, or else the first one that it reaches. All
    objects whose turn it is choose at the same time, and so must have no target in common.

    Args:
        pairs: Those of one found object stand together, in the order in which it prefers its targets.
        turns: (F,), when each found object chooses.
        thresholds: (T,), the overlap from which on a target is reached.
        wanted: (G, A), whether a target comes before those that are not.
        shared: (G,), whether a target can be had any number of times.

    Returns:
        (F, T, A), the target of each found object; `NOTHING` where it has none.
    """
    choice = np.full((len(turns), len(thresholds), wanted.shape[1]), NOTHING, np.int32)
    if not len(pairs.found):
        return choice
    choosing, starts, counts = np.unique(pairs.found, return_index=True, return_counts=True)
    row, slot = np.repeat(np.arange(len(choosing)), counts), np.arange(len(pairs.found)) - np.repeat(starts, counts)
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
    """Numbers the members of each group.

    Args:
        groups: (F,), any numbers.
        ranks: (F,), in which order the members of a group choose.
        asking: (F,), who chooses at all.

    Returns:
        (F,), from 0 within each group; 0 for who does not choose.
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
