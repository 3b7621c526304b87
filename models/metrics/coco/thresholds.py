"""From which score on found objects are worth showing: precision, recall and their harmonic mean F1 at IoU 0.5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.matches import AT_50, Matches
from models.metrics.ratios import share

CURVE_SCORES: Final = np.linspace(0, 1, 101)
"""At which an F1 curve is told."""


class Verdicts(NamedTuple):
    """What was found, as far as it counts for or against at IoU 0.5.

    Attributes:
        images: (N,) index of the image.
        class_ids: (N,).
        scores: (N,) float64.
        right: (N,) bool.
        target_images: (G,) index of the image of each target that is no crowd.
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
        """Reads them off: a duplicate is wrong, and what lies in a crowd is left out."""
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
        found, targets = self.class_ids == class_id, self.target_classes == class_id
        return Verdicts(
            self.images[found],
            self.class_ids[found],
            self.scores[found],
            self.right[found],
            self.target_images[targets],
            self.target_classes[targets],
        )

    def by_image(self, images: int, score_threshold: float) -> NDArray[np.int64]:
        """(I, 3) how much is right, was found, and is to be found, in each image, from a score on."""
        shown = self.scores >= score_threshold
        counted = (self.images[shown & self.right], self.images[shown], self.target_images)
        return np.stack([np.bincount(column, minlength=images) for column in counted], 1)


class Operation(NamedTuple):
    """Figures from a score on, each 0 to 1.

    Attributes:
        score: NaN where nothing was found, or there is no target.
        precision: NaN where nothing was found, or there is no target.
        recall: NaN where there is no target.
        f1: NaN where there is no target; 0 where nothing right was found.
    """

    score: float
    precision: float
    recall: float
    f1: float


def figures(sums: NDArray[Any]) -> NDArray[np.float64]:
    """Precision, recall and F1 = 2 right / (found + targets).

    Args:
        sums: (…, 3), how much is right, was found, and is to be found.

    Returns:
        (…, 3) 0 to 1; NaN where there is nothing to measure: all three without targets, precision with nothing found.
    """
    right, found, targets = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    values = np.stack([share(right, found), share(right, targets), share(2 * right, found + targets)], -1)
    return np.where(np.asarray(targets > 0)[..., None], values, np.nan)


def best_operation(verdicts: Verdicts) -> Operation:
    """The score with the highest F1; of several, the highest score."""
    order = np.argsort(-verdicts.scores, kind="stable")
    scores = verdicts.scores[order]
    if not len(scores) or not len(verdicts.target_classes):
        return Operation(np.nan, *figures(np.array([0, 0, len(verdicts.target_classes)])).tolist())
    last = np.append(np.diff(scores) < 0, True)  # of equal scores, all are shown or none
    right, found = verdicts.right[order].cumsum()[last], np.flatnonzero(last) + 1
    values = figures(np.stack([right, found, np.full(len(found), len(verdicts.target_classes))], 1))
    best = int(values[:, 2].argmax())
    return Operation(float(scores[last][best]), *values[best].tolist())


def f1_curve(verdicts: Verdicts) -> NDArray[np.float64]:
    """(101,) F1 from each of `CURVE_SCORES` on; NaN where there is no target."""
    right, found = (
        len(some) - np.searchsorted(np.sort(some), CURVE_SCORES)
        for some in (verdicts.scores[verdicts.right], verdicts.scores)
    )
    return figures(np.stack([right, found, np.full(len(found), len(verdicts.target_classes))], 1))[:, 2]


def most_confident_errors(verdicts: Verdicts, images: int) -> NDArray[np.float64]:
    """(I,) the highest score of what is wrong in each image; NaN where nothing is."""
    highest = np.full(images, -np.inf)
    np.maximum.at(highest, verdicts.images[~verdicts.right], verdicts.scores[~verdicts.right])
    return np.where(np.isfinite(highest), highest, np.nan)


def score_histogram(verdicts: Verdicts, edges: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many scores of what is right, and of what is wrong, lie between each edge and the next."""
    right, wrong = (np.histogram(verdicts.scores[chosen], edges)[0] for chosen in (verdicts.right, ~verdicts.right))
    return right, wrong
