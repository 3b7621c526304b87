"""Precision, recall and F1 by score threshold at IoU 0.5, and the threshold of the best F1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.matches import AT_50, Matches
from models.metrics.ratios import share

CURVE_SCORES: Final = np.linspace(0, 1, 101)
"""The score thresholds of an F1 curve."""


class Verdicts(NamedTuple):
    """True and false positives at IoU 0.5, without ignored predictions.

    Attributes:
        images: (N,) index of the image.
        class_ids: (N,).
        scores: (N,) float64.
        right: (N,) bool, whether it is a true positive.
        target_images: (G,) index of the image of each target, without crowds.
        target_classes: (G,).
    """

    images: NDArray[np.int32]
    class_ids: NDArray[np.int32]
    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    target_images: NDArray[np.int32]
    target_classes: NDArray[np.int32]

    @classmethod
    def of(cls, matches: Matches) -> Verdicts:
        """From matches: a duplicate is a false positive; predictions in a crowd are dropped."""
        counted = matches.ignored[:, 0] & AT_50 == 0
        known = matches.target_counts[:, 0]
        return cls(
            matches.images[counted],
            matches.class_ids[counted],
            matches.scores[counted],
            matches.matched[counted, 0] & AT_50 == 1,
            matches.target_images[known],
            matches.target_classes[known],
        )

    def of_class(self, class_id: int) -> Verdicts:
        """Those of one class."""
        predictions, targets = self.class_ids == class_id, self.target_classes == class_id
        return Verdicts(
            self.images[predictions],
            self.class_ids[predictions],
            self.scores[predictions],
            self.right[predictions],
            self.target_images[targets],
            self.target_classes[targets],
        )

    def by_image(self, images: int, score_threshold: float) -> NDArray[np.int64]:
        """(I, 3) true positives, predictions and targets of each image, above a score threshold."""
        shown = self.scores >= score_threshold
        counted = (self.images[shown & self.right], self.images[shown], self.target_images)
        return np.stack([np.bincount(column, minlength=images) for column in counted], 1)


class Operation(NamedTuple):
    """Precision, recall and F1 at a score threshold (operating point), each 0 to 1.

    Attributes:
        score: The threshold; NaN without predictions or without targets.
        precision: NaN without predictions or without targets.
        recall: NaN without targets.
        f1: NaN without targets; 0 without true positives.
    """

    score: float
    precision: float
    recall: float
    f1: float


def figures(sums: NDArray[Any]) -> NDArray[np.float64]:
    """Precision, recall and F1 = 2 TP / (predictions + targets).

    Args:
        sums: (…, 3), true positives, predictions and targets.

    Returns:
        (…, 3) 0 to 1; all three NaN without targets, precision also without predictions.
    """
    right, predictions, targets = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    values = np.stack([share(right, predictions), share(right, targets), share(2 * right, predictions + targets)], -1)
    return np.where(np.asarray(targets > 0)[..., None], values, np.nan)


def best_operation(verdicts: Verdicts) -> Operation:
    """The score threshold with the highest F1; of several, the highest threshold."""
    order = np.argsort(-verdicts.scores, kind="stable")
    scores = verdicts.scores[order]
    if not len(scores) or not len(verdicts.target_classes):
        return Operation(np.nan, *figures(np.array([0, 0, len(verdicts.target_classes)])).tolist())
    last = np.append(np.diff(scores) < 0, True)  # of equal scores, all are shown or none
    right, predictions = verdicts.right[order].cumsum()[last], np.flatnonzero(last) + 1
    values = figures(np.stack([right, predictions, np.full(len(predictions), len(verdicts.target_classes))], 1))
    best = int(values[:, 2].argmax())
    return Operation(float(scores[last][best]), *values[best].tolist())


def f1_curve(verdicts: Verdicts) -> NDArray[np.float64]:
    """(101,) F1 at each of `CURVE_SCORES` as threshold; NaN without targets."""
    right, predictions = (
        len(some) - np.searchsorted(np.sort(some), CURVE_SCORES)
        for some in (verdicts.scores[verdicts.right], verdicts.scores)
    )
    return figures(np.stack([right, predictions, np.full(len(predictions), len(verdicts.target_classes))], 1))[:, 2]


def most_confident_errors(verdicts: Verdicts, images: int) -> NDArray[np.float64]:
    """(I,) the highest score of a false positive in each image; NaN where there is none."""
    highest = np.full(images, -np.inf)
    np.maximum.at(highest, verdicts.images[~verdicts.right], verdicts.scores[~verdicts.right])
    return np.where(np.isfinite(highest), highest, np.nan)


def score_histogram(verdicts: Verdicts, edges: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Histograms of the scores of true positives and of false positives."""
    right, wrong = (np.histogram(verdicts.scores[chosen], edges)[0] for chosen in (verdicts.right, ~verdicts.right))
    return right, wrong
