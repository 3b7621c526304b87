"""Average precision, ROC AUC and precision-recall curve of a class against all others."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.metrics.ratios import share

RECALLS: Final = np.linspace(0, 1, 101)
"""The recalls of a precision-recall curve."""


class Separation(NamedTuple):
    """Average precision and ROC AUC of a class, for every weighting of the images.

    Attributes:
        average_precision: (B,) float64, 0 to 1: Σ (Rₙ - Rₙ₋₁) Pₙ over the scores as thresholds from the highest down,
            without interpolation (scikit-learn's `average_precision_score`); NaN where no image is of the class.
        roc_auc: (B,) float64, 0 to 1: the probability that an image of the class has a higher score than another one,
            where equal scores count a half (scikit-learn's `roc_auc_score`; J. A. Hanley and B. J. McNeil, "The meaning
            and use of the area under a receiver operating characteristic (ROC) curve", 1982); NaN where no image is of
            the class, or every one is.
    """

    average_precision: NDArray[np.float64]
    roc_auc: NDArray[np.float64]


def separation(
    scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_], weights: NDArray[np.float64]
) -> Separation:
    """Computes average precision and ROC AUC for many weightings of the same images at once, as a bootstrap needs them.

    Both figures change only at the scores of the class's own images. So all images are counted into those scores and
    the gaps between, once, and nothing is sorted or counted again for another weighting. scikit-learn's functions,
    which take one weighting at a time, give the same numbers.

    Args:
        scores: (N,), higher for what is more likely of the class.
        positive: (N,), whether the image is of the class.
        weights: (N, B) whole numbers from 0 on: how often each image counts. Ones, for the figure of all images.

    Returns:
        B average precisions, and B areas.
    """
    levels = np.unique(scores[positive])  # ascending
    places = 2 * len(levels) + 1  # below, at the first level, between it and the second, at the second, … above
    places_of = np.searchsorted(levels, scores, "left") + np.searchsorted(levels, scores, "right")
    all_at = sums_by_group(places_of, places, weights)
    right = sums_by_group((places_of[positive] - 1) // 2, len(levels), weights[positive])
    rights, total = right.sum(0), all_at.sum(0)
    named = all_at[::-1].cumsum(0)[::-1][1::2]  # at the level or above
    precision = share(right[::-1].cumsum(0)[::-1], named)
    average_precision = share(np.where(right > 0, right * precision, 0.0).sum(0), rights)
    wrong_at = all_at[1::2] - right
    wrong_below = total - rights - (named - right[::-1].cumsum(0)[::-1])
    roc_auc = share((right * (wrong_below + wrong_at / 2)).sum(0), rights * (total - rights))
    return Separation(average_precision, roc_auc)


def sums_by_group(
    groups: NDArray[np.integer[Any]], count: int, weights: NDArray[np.float64], amounts: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Sums amounts by group, for every weighting of the images.

    Args:
        groups: (N,), the group of each image, from 0 to `count` - 1.
        count: G, of groups.
        weights: (N, B), how often each image counts.
        amounts: (N,), what each has; without, each has 1.

    Returns:
        (G, B) float64; zeros for a group without images.
    """
    images = len(groups)
    entries = np.ones(images) if amounts is None else amounts.astype(np.float64)
    one_a_column = sparse.csc_array((entries, groups, np.arange(images + 1)), shape=(count, images))
    return np.asarray(one_a_column @ weights, np.float64)


def precision_recall_curve(
    scores: NDArray[np.floating[Any]], positive: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interpolated precision-recall curve; scikit-learn's `precision_recall_curve` goes through its points.

    Args:
        scores: (N,), higher for what is more likely positive.
        positive: (N,).

    Returns:
        Recall, (101,) from 0 to 1 in equal steps, and precision, (101,) 0 to 1: the best that is had at this recall or
        a higher one, so that it never rises, as curves of detectors are drawn. The area below is therefore a little
        larger than the average precision. Both are (0,) where nothing is positive.
    """
    if not positive.any():
        return np.zeros(0), np.zeros(0)
    levels, counts = np.unique(scores[positive], return_counts=True)  # other thresholds let in nothing but mistakes
    named = len(scores) - np.searchsorted(np.sort(scores), levels)
    right = counts[::-1].cumsum()[::-1]
    best = np.maximum.accumulate(right / named)[::-1]  # by threshold, which recall falls with; now by rising recall
    return RECALLS.copy(), best[np.searchsorted(right[::-1] / right[0], RECALLS - 1e-12)]
