"""What is wrong with what was found, and what average precision that costs: D. Bolya, S. Foley, J. Hays and J. Hoffman,
"TIDE: A General Toolbox for Identifying Object Detection Errors", 2020, https://arxiv.org/abs/2008.08115.

Its six kinds, for something found that is right nowhere at IoU 0.5, and for a target that nothing right was found for:

* localisation: a target of its class overlaps it, by 0.1 to 0.5.
* classification: a target of another class overlaps it by 0.5 or more.
* duplicate: a target of its class overlaps it by 0.5 or more, but something with a higher score was found for that.
* background: no target overlaps it by more than 0.1.
* both: none of these, so a target of another class overlaps it, by 0.1 to 0.5.
* missed: a target with nothing right, and no error of localisation or classification that could be corrected to be it.

Where several apply, the first of localisation, classification, duplicate and background does, as in the authors' own
code (https://github.com/dbolya/tide, `tidecv/quantify.py`). Counts agree with theirs, with one thing told otherwise:
what is right, and what lies in a crowd, is so by COCO's rules, as in average precision. (Their release 1.0.1 counts
what lies in a crowd as an error; where more than a hundred objects are found, they take the best of an image, and COCO
of each class.) `hotcoco` tells errors, too, with crowds among the targets, and needs all images at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.matches import AT_50, Matches
from models.metrics.coco.pairing import NOTHING, Pairs
from models.metrics.coco.ranking import by_rank, interpolated_precision

POSITIVE_IOU: Final = 0.5
BACKGROUND_IOU: Final = 0.1

ERRORS: Final = ("localisation", "classification", "both", "duplicate", "background", "missed")
NO_ERROR: Final = len(ERRORS)
"""What is right, or counts neither for nor against."""
LOCALISATION, CLASSIFICATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(NO_ERROR)


class Errors(NamedTuple):
    """The errors in several images.

    Attributes:
        kinds: (F,) uint8, of each found object the place in `ERRORS`, or `NO_ERROR`.
        corrected_target: (F,) int32, the target that it would be right for if its error was corrected; `NOTHING` if for
            none: its kind cannot be corrected, the target has something right already, or something with a higher score
            is corrected.
        missed: (G,) bool, of each target.
    """

    kinds: NDArray[np.uint8]
    corrected_target: NDArray[np.int32]
    missed: NDArray[np.bool_]


def find_errors(
    pairs: Pairs,
    same_class: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    used: NDArray[np.bool_],
    ranks: NDArray[np.int64],
) -> Errors:
    """Tells what is wrong with what was found.

    Args:
        pairs: P, with all targets that are no crowds, of any class, whose overlap is `BACKGROUND_IOU` or more.
        same_class: (P,), whether the two are of one class.
        wrong: (F,), which found objects are right nowhere, and do not lie in a crowd.
        used: (G,), which targets have something right; crowds count as used.
        ranks: (F,), the place of each found object among all of its image, by falling score.
    """
    count = len(wrong)
    same, same_iou = _closest(pairs.only(same_class), count)
    other, other_iou = _closest(pairs.only(~same_class), count)
    _, used_iou = _closest(pairs.only(same_class & used[pairs.targets]), count)
    rules = {
        LOCALISATION: (same_iou >= BACKGROUND_IOU) & (same_iou <= POSITIVE_IOU),
        CLASSIFICATION: other_iou >= POSITIVE_IOU,
        DUPLICATE: used_iou >= POSITIVE_IOU,
        BACKGROUND: np.maximum(same_iou, other_iou) <= BACKGROUND_IOU,
    }
    kinds = np.where(wrong, np.select(list(rules.values()), list(rules), BOTH), NO_ERROR).astype(np.uint8)
    closest = np.where(kinds == LOCALISATION, same, np.where(kinds == CLASSIFICATION, other, NOTHING))
    corrected, correctable = _first_for_each(closest, used, ranks)
    return Errors(kinds, corrected, ~used & ~correctable)


@dataclass(frozen=True)
class ErrorCost:
    """One kind of error.

    Attributes:
        name: One of `ERRORS`.
        count: How many there are.
        delta_map_50: By how much `map_50` would rise without them, 0 to 1; NaN where no class has targets.
    """

    name: str
    count: int
    delta_map_50: float


def error_costs(matches: Matches, class_ids: Sequence[int]) -> list[ErrorCost]:
    """What each kind of error costs, corrected alone (TIDE, section 2.3).

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
        corrected = error & (matches.corrected_class >= 0)
        left = matches.target_classes[matches.target_counts[:, 0] & ~matches.missed] if kind == MISSED else targets
        after = _map_50(
            np.where(corrected, matches.corrected_class, matches.class_ids),
            matches.scores,
            right | corrected,
            counted & (~error | corrected),
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


def _closest(pairs: Pairs, count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(F,) the target that overlaps each found object most, the first of equals, and by how much; or nothing, by 0."""
    targets, ious = np.full(count, NOTHING, np.int64), np.zeros(count)
    order = np.lexsort((pairs.targets, -pairs.ious, pairs.found))
    found, first = np.unique(pairs.found[order], return_index=True)
    targets[found], ious[found] = pairs.targets[order][first], pairs.ious[order][first]
    return targets, ious


def _first_for_each(
    closest: NDArray[np.int64], used: NDArray[np.bool_], ranks: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Of all that could be corrected to be a target, the one with the highest score; and the targets that have one."""
    corrected, correctable = np.full(len(closest), NOTHING, np.int32), np.zeros(len(used), np.bool_)
    able = np.flatnonzero(closest != NOTHING)
    able = able[~used[closest[able]]]
    able = able[np.argsort(ranks[able], kind="stable")]
    targets, first = np.unique(closest[able], return_index=True)
    corrected[able[first]] = targets
    correctable[targets] = True
    return corrected, correctable
