"""Quotients and means with NaN for undefined values, never 0 or -1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.number[Any]]
"""Counts or quantities."""


def share(part: Numbers, whole: Numbers) -> NDArray[np.float64]:
    """Divides, element by element.

    Args:
        part: Any shape.
        whole: A shape that goes with it.

    Returns:
        float64 of the shape of both together; NaN where `whole` is 0 or NaN.
    """
    parts, wholes = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(parts, wholes, where=wholes != 0, out=np.full(parts.shape, np.nan))


def where_known(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replaces undefined values with NaN.

    Args:
        values: Any shape.
        known: A shape that goes with it: whether the value stays.
    """
    return np.where(known, values, np.nan)


def mean_of_known(values: NDArray[np.float64], weights: ArrayLike = 1.0, axis: int = -1) -> NDArray[np.float64]:
    """Mean over an axis, without NaN.

    Args:
        values: Any shape; NaN is left out.
        weights: How much each counts, at least 0; a shape that goes with `values`.
        axis: Over which.

    Returns:
        The shape without that axis; NaN where all values are NaN or have no weight.
    """
    known = ~np.isnan(values)
    weighing = np.where(known, weights, 0.0)
    return share((np.where(known, values, 0.0) * weighing).sum(axis), weighing.sum(axis))
