"""Fréchet distance between features of two sets of images (FID, arXiv:1706.08500), in float64 and numpy alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The normal distribution that has the mean and the covariance of features.

    Attributes:
        mean: (D,) float64.
        covariance: (D, D) float64, symmetric and positive semi-definite.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.floating]) -> Gaussian:
        """Estimates it, with N - 1 in the covariance.

        Args:
            features: (N, D), N at least 2.

        Raises:
            ValueError: There are fewer than two rows.
        """
        if features.ndim != 2 or len(features) < 2:
            raise ValueError(f"features must be (N, D) with two rows or more, not {features.shape}")
        values = features.astype(np.float64)
        centred = values - values.mean(0)
        return cls(values.mean(0), centred.T @ centred / (len(values) - 1))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """The squared Fréchet distance of two normal distributions (D. C. Dowson and B. V. Landau, 1982).

    |m1 - m2|² + trace(C1 + C2 - 2 (C1 C2)^½). The trace of the root is the sum of the roots of the eigenvalues of
    C1^½ C2 C1^½, which is symmetric: so no complex numbers arise where a covariance has no inverse.

    Args:
        first: Of D dimensions.
        second: Likewise.

    Returns:
        0 where they are equal; in squared units of the features.
    """
    root = _root(first.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ second.covariance @ root)
    overlap = np.sqrt(eigenvalues.clip(0)).sum()
    apart = float(np.square(first.mean - second.mean).sum())
    spread = float(np.trace(first.covariance) + np.trace(second.covariance) - 2 * overlap)
    return max(0.0, apart + spread)


def fid(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """The Fréchet distance between two sets of features.

    It falls with the number of images, so compare figures of the same numbers only.

    Args:
        first: (N, D), one row an image.
        second: (M, D).

    Raises:
        ValueError: One has fewer than two rows.
    """
    return frechet_distance(Gaussian.of(first), Gaussian.of(second))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
