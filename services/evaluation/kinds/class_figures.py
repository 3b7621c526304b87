"""Classification metrics for any weighting of the images: weights of 1, or those of bootstrap replicates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.calibration import BINS, bin_edges, bins_of, expected_calibration_error
from models.metrics.classification import ClassScores
from models.metrics.ratios import mean_of_known, share
from models.metrics.score_curves import Separation, separation, sums_by_group
from services.evaluation.scoring import MetricState

_TOP: Final = 5


@dataclass(frozen=True, eq=False)
class Answers:
    """Predictions of all images, the state of `services.evaluation.kinds.classification_metric.ClassificationMetric`.

    Attributes:
        index: (N,) int64, of the images in their data set.
        target: (N,) int32, the ground-truth class.
        prediction: (N,) int32, the top-1 class.
        rank: (N,) int32, rank of the ground-truth class in the prediction, from 0.
        confidence: (N,) float64, the top-1 probability.
        probabilities: (N, C) float32.
    """

    index: NDArray[np.int64]
    target: NDArray[np.int32]
    prediction: NDArray[np.int32]
    rank: NDArray[np.int32]
    confidence: NDArray[np.float64]
    probabilities: NDArray[np.float32]

    @classmethod
    def of(cls, chunks: Sequence[MetricState]) -> Answers:
        """Concatenates the states of at least one chunk."""
        return cls(**{name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]})


def figures(answers: Answers, measured: Sequence[int], weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """The headline figures except average precision and ROC AUC, for which see `mean_separation`.

    Args:
        answers: Of N images.
        measured: Class ids of the means.
        weights: (N, B), weight of each image.

    Returns:
        (B,) each, 0 to 1: `top1`, `top5` (NaN of a model with five classes or fewer, which is always right by it),
        `precision_macro`, `recall_macro`, `f1_macro` and the same `_weighted`, and `ece`. NaN without images.
    """
    scores = class_scores(answers, measured, weights)
    top5 = _share_within(answers, weights, _TOP)
    return {
        "top1": _share_within(answers, weights, 1),
        "top5": top5 if answers.probabilities.shape[1] > _TOP else np.full_like(top5, np.nan),
        **scores.macro(),
        **scores.weighted(),
        "ece": _calibration_error(answers, weights),
    }


def class_scores(answers: Answers, measured: Sequence[int], weights: NDArray[np.float64]) -> ClassScores:
    """Precision, recall and F1, (B, K) for K measured classes; the arguments are those of `figures`."""
    classes, ids = answers.probabilities.shape[1], np.array(measured, np.int64)
    right = answers.target == answers.prediction
    counts = (
        sums_by_group(answers.target[right], classes, weights[right]),
        sums_by_group(answers.target, classes, weights),
        sums_by_group(answers.prediction, classes, weights),
    )
    return ClassScores.of(*(count[ids].T for count in counts))


def mean_separation(
    answers: Answers, measured: Sequence[int], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """`average_precision` and `roc_auc`, (B,), means over the measured classes that have an image; see `figures`."""
    found = separations(answers, measured, weights)
    return {name: mean_of_known(values, axis=0) for name, values in found._asdict().items()}


def separations(answers: Answers, measured: Sequence[int], weights: NDArray[np.float64]) -> Separation:
    """Average precision and ROC AUC of each class against all others, (K, B) for K measured classes; see `figures`.

    Returns:
        NaN for a class without images.
    """
    found = np.full((2, len(measured), weights.shape[1]), np.nan)
    for place, class_id in enumerate(measured):
        positive = answers.target == class_id
        if positive.any():
            found[:, place] = separation(answers.probabilities[:, class_id], positive, weights)
    return Separation(*found)


def _share_within(answers: Answers, weights: NDArray[np.float64], places: int) -> NDArray[np.float64]:
    return share((answers.rank < places).astype(np.float64) @ weights, weights.sum(0))


def _calibration_error(answers: Answers, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    bins = bins_of(answers.confidence, bin_edges())
    right = answers.target == answers.prediction
    sums = (sums_by_group(bins, BINS, weights, amounts) for amounts in (answers.confidence, right, None))
    return expected_calibration_error(*sums)
