"""The confusion matrix, from which metrics of classes are computed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 2**20
"""Pairs that are counted at a time, so that 12 megapixels need no more memory than one."""


def confusion_matrix(
    targets: NDArray[np.integer[Any]],
    predictions: NDArray[np.integer[Any]],
    classes: int,
    ignored: int | None = None,
) -> NDArray[np.int64]:
    """Counts pairs of target and prediction; matrices of several chunks may be summed.

    Args:
        targets: Class ids from 0 to `classes` - 1, of any shape: one an image, or one a pixel.
        predictions: Class ids of the same shape.
        classes: C, at least 1.
        ignored: Target value without annotation (`ignore_index` of torchmetrics): such elements are not counted.

    Returns:
        (C, C) int64, rows by target, columns by prediction; zeros where there is nothing to count.

    Raises:
        ValueError: The shapes differ, or a class id is outside.
    """
    if targets.shape != predictions.shape:
        raise ValueError(f"targets {targets.shape} and predictions {predictions.shape} must have one shape")
    counts = np.zeros(classes * classes, np.int64)
    flat_targets, flat_predictions = targets.reshape(-1), predictions.reshape(-1)
    for first in range(0, targets.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        rows, columns = flat_targets[block], flat_predictions[block]
        if ignored is not None:
            known = rows != ignored
            rows, columns = rows[known], columns[known]
        for name, ids in (("target", rows), ("prediction", columns)):
            if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= classes):
                raise ValueError(f"a {name} is outside 0 to {classes - 1}: {int(ids.min())} to {int(ids.max())}")
        pairs = rows.astype(np.intp)
        pairs *= classes
        pairs += columns
        counts += np.bincount(pairs, minlength=len(counts))
    return counts.reshape(classes, classes)
