"""What was taken for what, and what average precision each kind of error costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco_errors import ERRORS, MISSED
from models.metrics.coco_matches import IN_CROWD, Matches
from models.metrics.coco_ranking import by_rank, interpolated_precision
from models.metrics.confusion import confusion_matrix

AT_50: Final = 1
"""The bit of IoU 0.5 in `Matches`."""


@dataclass(frozen=True)
class ErrorCost:
    """One kind of error.

    Attributes:
        name: One of `models.metrics.coco_errors.ERRORS`.
        count: How many there are.
        delta_map_50: By how much `map_50` would rise without them, 0 to 1; NaN where no class has targets.
    """

    name: str
    count: int
    delta_map_50: float


def error_costs(matches: Matches, class_ids: Sequence[int]) -> list[ErrorCost]:
    """What each kind of error costs, mended alone (TIDE, section 2.3): see `models.metrics.coco_errors`.

    What is wrong in place or class becomes right, if there is a target that nothing right and nothing better was found
    for; all else that is wrong goes, and so does what is missed. What would fall, which sorting can make it do by a
    hair, counts as 0, as in `tidecv`. A class without a target left counts as before: nothing of it was right.

    Args:
        matches: Of all images.
        class_ids: Those that are measured.

    Returns:
        One for each of `ERRORS`, in that order.
    """
    counted = matches.ignored[:, 0] & AT_50 == 0
    right = counted & (matches.matched[:, 0] & AT_50 == 1)
    targets = matches.target_classes[matches.target_counts[:, 0]]
    known = [class_id for class_id in class_ids if class_id in set(targets.tolist())]
    before = _map_50(matches.class_ids, matches.scores, right, counted, targets, known)
    costs: list[ErrorCost] = []
    for kind, name in enumerate(ERRORS):
        error = matches.kinds == kind
        mended = error & (matches.mended >= 0)
        left = matches.target_classes[matches.target_counts[:, 0] & ~matches.missed] if kind == MISSED else targets
        after = _map_50(
            np.where(mended, matches.mended, matches.class_ids),
            matches.scores,
            right | mended,
            counted & (~error | mended),
            left,
            known,
        )
        count = matches.missed.sum() if kind == MISSED else error.sum()
        costs.append(ErrorCost(name, int(count), float(np.maximum(after - before, 0))))
    return costs


def _map_50(
    class_ids: NDArray[np.int32],
    scores: NDArray[np.float64],
    right: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    targets: NDArray[np.int32],
    measured: Sequence[int],
) -> float:
    """Mean average precision of what is counted; 0 for a class without targets."""
    order = by_rank(class_ids, scores)
    order = order[counted[order]]
    ordered, rights = class_ids[order], right[order]
    precisions: list[float] = []
    for class_id in measured:
        first, last = np.searchsorted(ordered, [class_id, class_id + 1])
        places = np.flatnonzero(rights[first:last])[:, None]
        true = np.arange(1, len(places) + 1)[:, None].astype(np.float64)
        count = np.array([np.count_nonzero(targets == class_id)], np.float64)
        precisions.append(float(interpolated_precision(true, places + 1 - true, count)[0]))
    return float(np.mean(np.nan_to_num(precisions))) if precisions else np.nan


def object_confusion(matches: Matches, class_ids: Sequence[int], score_threshold: float) -> NDArray[np.int64]:
    """What was taken for what, at IoU 0.5.

    By falling score, everything that was found takes the target that it overlaps most of those left, one of its own
    class if there is one, by 0.5 or more. So the classes can differ, each target stands for one found object at most,
    and what is found is right here, too, if it is so in average precision, unless something of another class was surer
    to be there. What lies in a crowd of its class is left out.

    Args:
        matches: Of all images.
        class_ids: K, those that are measured.
        score_threshold: What has a lower score is left out.

    Returns:
        (K + 1, K + 1) int64, rows by target, columns by what was found, in the order of `class_ids`; the last ones are
        the background: what nothing was found for, and what stands for nothing.
    """
    index = np.full(int(max([*class_ids, 0])) + 2, len(class_ids))  # the last one, and so -1, too, is the background
    index[list(class_ids)] = np.arange(len(class_ids))
    shown = (matches.scores >= score_threshold) & (matches.taken_for != IN_CROWD)
    taken, found = index[matches.taken_for[shown]], index[matches.class_ids[shown]]
    matrix = confusion_matrix(taken, found, len(class_ids) + 1)
    targets = np.bincount(index[matches.target_classes[matches.target_counts[:, 0]]], minlength=len(matrix))
    matrix[:-1, -1] = targets[:-1] - matrix[:-1].sum(1)
    return matrix
