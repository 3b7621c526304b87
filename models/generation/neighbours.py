"""Precision and recall of generated images by nearest neighbours (arXiv:1904.06991), and the diversity of a class."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS: Final = 3
"""An image's surroundings reach to its third neighbour, as in arXiv:1904.06991, section 2."""

_LEAST_SQUARE: Final = 0.0


def covered(images: NDArray[np.floating], others: NDArray[np.floating]) -> float:
    """The share of images that lie in the surroundings of some other image.

    With generated images first and real ones second it is the precision: how many look real. The other way round it is
    the recall: how much of the real ones' variety is generated.

    Args:
        images: (N, D) features, N at least 1.
        others: (M, D) features, M above `NEIGHBOURS`.

    Returns:
        0 to 1.

    Raises:
        ValueError: There are too few others.
    """
    if len(others) <= NEIGHBOURS:
        raise ValueError(f"there must be more than {NEIGHBOURS} images to have neighbours, not {len(others)}")
    reach = np.partition(squared_distances(others, others), NEIGHBOURS, axis=1)[:, NEIGHBOURS]  # itself is the nearest
    return float((squared_distances(images, others) <= reach).any(1).mean())


def spread(features: NDArray[np.floating]) -> float:
    """The mean distance between two different images of a set; 0 where all are the same.

    Args:
        features: (N, D), N at least 2.
    """
    count = len(features)
    return float(np.sqrt(squared_distances(features, features)).sum() / (count * (count - 1)))


def squared_distances(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, M) float64: the squared distance of every row of (N, D) to every row of (M, D)."""
    ours, theirs = first.astype(np.float64), second.astype(np.float64)
    found = np.square(ours).sum(1)[:, None] + np.square(theirs).sum(1) - 2 * ours @ theirs.T
    if first is second:
        np.fill_diagonal(found, _LEAST_SQUARE)
    return found.clip(_LEAST_SQUARE)
