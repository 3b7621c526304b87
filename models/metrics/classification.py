"""Classification metrics: top-k accuracy, and precision, recall and F1 of every class.

An absent class is one that no target has. All its figures are NaN, and means leave it out: false positives of it
already count as false negatives of other classes. A class that has targets and is never predicted has a precision of 0,
as in scikit-learn (`zero_division=0`); otherwise the mean would rise with every class that a model never predicts.
scikit-learn's `precision_recall_fscore_support` with the targets' classes as `labels` gives the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics.ratios import Numbers, mean_of_known, share, where_known


def top_k_accuracy(ranks: NDArray[np.integer[Any]], k: int) -> float:
    """Top-k accuracy, the share of images whose class is among the k most probable (O. Russakovsky et al., "ImageNet
    Large Scale Visual Recognition Challenge", 2015, arXiv:1409.0575, section 4).

    Args:
        ranks: (N,) rank of the target class, from 0; any number from k on where it is not predicted.
        k: At least 1.

    Returns:
        The share of the images, 0 to 1; NaN without images.

    Raises:
        ValueError: `k` is below 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    return float(np.mean(ranks < k)) if len(ranks) else float("nan")


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Precision, recall and F1 of each class (C. J. van Rijsbergen, "Information Retrieval", 1979, chapter 7).

    Attributes:
        precision: (…, C) float64: of the images taken for the class, the share that is of it; 0 where no image was,
            and NaN of an absent class.
        recall: (…, C) float64: of the images of the class, the share taken for it; NaN of an absent class.
        f1: (…, C) float64: 2 × right / (targets + predictions), the harmonic mean of both; NaN of an absent
            class.
        targets: (…, C) float64, images of the class.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    targets: NDArray[np.float64]

    @classmethod
    def of(cls, right: Numbers, targets: Numbers, predictions: Numbers) -> ClassScores:
        """Takes counts of images, as a confusion matrix has them on its diagonal, in its rows and in its columns.

        Args:
            right: (…, C), images of the class that were taken for it.
            targets: (…, C), images of the class.
            predictions: (…, C), images taken for it.
        """
        there = np.asarray(targets) > 0
        precision = where_known(share(right, np.maximum(predictions, 1)), there)
        f1 = where_known(share(2 * np.asarray(right), np.asarray(targets) + predictions), there)
        return cls(precision, share(right, targets), f1, np.asarray(targets, np.float64))

    def macro(self) -> dict[str, NDArray[np.float64]]:
        """Means over classes, each of which counts the same.

        Returns:
            `precision_macro`, `recall_macro` and `f1_macro`, (…), 0 to 1; NaN where no class has the figure.
        """
        return {f"{name}_macro": mean_of_known(values) for name, values in self._by_name()}

    def weighted(self) -> dict[str, NDArray[np.float64]]:
        """Means over classes, each of which counts as often as it is a target; that of recall is top-1 accuracy.

        Returns:
            `precision_weighted`, `recall_weighted` and `f1_weighted`, (…), 0 to 1; NaN where no class has the figure.
        """
        return {f"{name}_weighted": mean_of_known(values, self.targets) for name, values in self._by_name()}

    def _by_name(self) -> tuple[tuple[str, NDArray[np.float64]], ...]:
        return ("precision", self.precision), ("recall", self.recall), ("f1", self.f1)
