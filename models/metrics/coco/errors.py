"""TIDE: classifies false positives and false negatives into six error types, and what each costs in AP.

D. Bolya, S. Foley, J. Hays and J. Hoffman, "TIDE: A General Toolbox for Identifying Object Detection Errors", 2020,
https://arxiv.org/abs/2008.08115.

The error types, of a false positive at IoU 0.5, and of a target without a true positive:

* localisation: IoU of 0.1 to 0.5 with a target of its class.
* classification: IoU of 0.5 or more with a target of another class.
* duplicate: IoU of 0.5 or more with a target of its class that is matched to a prediction with a higher score.
* background: IoU of at most 0.1 with all targets.
* both: none of these, so an IoU of 0.1 to 0.5 with a target of another class.
* missed: a target without a true positive, and without an error of localisation or classification to be corrected.

Where several apply, the first of localisation, classification, duplicate and background does, as in the authors' own
code (https://github.com/dbolya/tide, `tidecv/quantify.py`). Counts equal theirs, with one difference: true positives
and predictions in a crowd follow COCO's rules, as in average precision. (Their release 1.0.1 counts predictions in a
crowd as errors; of more than a hundred predictions they take the best of an image, and COCO those of each class.)
`hotcoco` has error types too, with crowds among the targets, and needs all images at once.
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
"""A true positive, or an ignored prediction."""
LOCALISATION, CLASSIFICATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(NO_ERROR)


class Errors(NamedTuple):
    """The error types of the predictions and targets of several images.

    Attributes:
        kinds: (F,) uint8, of each prediction the index in `ERRORS`, or `NO_ERROR`.
        corrected_target: (F,) int32, the target that it matches once its error is corrected; `NOTHING` where its type
            cannot be corrected, the target has a true positive already, or a prediction with a higher score is
            corrected.
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
    """Assigns TIDE's error types to false positives and false negatives.

    Args:
        pairs: P, with all targets but crowds, of any class, whose IoU is `BACKGROUND_IOU` or more.
        same_class: (P,), whether the two are of one class.
        wrong: (F,), whether the prediction is a false positive; none in a crowd is.
        used: (G,), whether the target is matched; crowds count as matched.
        ranks: (F,), rank of each prediction in its image, by descending score.
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
    """Count and cost (ΔAP) of an error type.

    Attributes:
        name: One of `ERRORS`.
        count: Number of errors.
        delta_map_50: Increase of `map_50` without them, 0 to 1; NaN where no class has targets.
    """

    name: str
    count: int
    delta_map_50: float


def error_costs(matches: Matches, class_ids: Sequence[int]) -> list[ErrorCost]:
    """Computes the cost in AP of each error type, corrected alone (TIDE, section 2.3).

    Errors of localisation and classification become true positives if their target has neither a true positive nor a
    correction with a higher score; other false positives are removed, and so are missed targets. A decrease, which the
    order of equal scores can cause, counts as 0, as in `tidecv`. A class whose targets are all removed keeps its AP of
    0.

    Args:
        matches: Of all images.
        class_ids: The evaluated classes.

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
    """(F,) the target with the highest IoU of each prediction, the first of equals, and the IoU; `NOTHING` and 0."""
    targets, ious = np.full(count, NOTHING, np.int64), np.zeros(count)
    order = np.lexsort((pairs.targets, -pairs.ious, pairs.predictions))
    predictions, first = np.unique(pairs.predictions[order], return_index=True)
    targets[predictions], ious[predictions] = pairs.targets[order][first], pairs.ious[order][first]
    return targets, ious


def _first_for_each(
    closest: NDArray[np.int64], used: NDArray[np.bool_], ranks: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Of the predictions that can be corrected to a target, the one with the highest score; and the targets with
    one."""
    corrected, correctable = np.full(len(closest), NOTHING, np.int32), np.zeros(len(used), np.bool_)
    able = np.flatnonzero(closest != NOTHING)
    able = able[~used[closest[able]]]
    able = able[np.argsort(ranks[able], kind="stable")]
    targets, first = np.unique(closest[able], return_index=True)
    corrected[able[first]] = targets
    correctable[targets] = True
    return corrected, correctable
