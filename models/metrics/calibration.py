"""Calibration of classifiers: reliability diagrams and the expected calibration error (ECE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.ratios import Numbers, share

BINS: Final = 15
"""Number of bins, as in C. Guo et al. ("On Calibration of Modern Neural Networks", 2017, arXiv:1706.04599, section
5)."""


def bin_edges(bins: int = BINS) -> NDArray[np.float64]:
    """The edges of bins of equal width over the probabilities.

    Args:
        bins: M, at least 1.

    Returns:
        (M + 1,) from 0 to 1.
    """
    return np.linspace(0, 1, bins + 1)


def bins_of(confidences: NDArray[np.floating[Any]], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """Puts probabilities into bins, each of which has its upper edge and not its lower one; the first has 0, too.

    Args:
        confidences: (N,) from 0 to 1.
        edges: (M + 1,), ascending.

    Returns:
        (N,) from 0 to M - 1.
    """
    return np.digitize(confidences, edges[1:-1], right=True)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Values of a reliability diagram.

    Attributes:
        edges: (M + 1,) float64, of the bins of the top probability.
        confidence: (M,) float64, the mean top probability of each bin's images, 0 to 1; NaN of an empty bin.
        accuracy: (M,) float64, the share of each bin's images that are right; NaN of an empty bin.
        count: (M,) int64, images of each bin.
    """

    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]


def reliability(
    confidences: NDArray[np.floating[Any]], right: NDArray[np.bool_], edges: NDArray[np.float64]
) -> Reliability:
    """Compares mean confidence with accuracy, bin by bin.

    Args:
        confidences: (N,) from 0 to 1, of each image the probability of the predicted class.
        right: (N,), whether the prediction is correct.
        edges: (M + 1,), see `bin_edges`.
    """
    bins, count = bins_of(confidences, edges), len(edges) - 1
    images = np.bincount(bins, minlength=count)
    confidence = share(np.bincount(bins, confidences, minlength=count), images)
    accuracy = share(np.bincount(bins, right, minlength=count), images)
    return Reliability(edges, confidence, accuracy, images.astype(np.int64))


def expected_calibration_error(confidence_sums: Numbers, right: Numbers, images: Numbers) -> NDArray[np.float64]:
    """Expected calibration error (ECE): Σ |Bₘ| / N × |acc(Bₘ) - conf(Bₘ)| (C. Guo et al., 2017, equation 3).

    The estimate is biased upwards for few images, since the accuracy of every bin has sampling error (A. Kumar, P.
    Liang and T. Ma, "Verified Uncertainty Calibration", 2019, arXiv:1909.10155). A bootstrap does not remove the bias.

    Args:
        confidence_sums: (M, …), the sum of the top probabilities of each bin's images.
        right: (M, …), how many of them are right.
        images: (M, …), how many there are.

    Returns:
        (…) float64, 0 to 1, 0 being best; NaN without images. Empty bins add nothing.
    """
    return share(np.abs(np.subtract(right, confidence_sums)).sum(0), images.sum(0))
