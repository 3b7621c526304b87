"""The confusion matrix of objects, with the background as the last class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.matches import IN_CROWD, Matches
from models.metrics.confusion import confusion_matrix


def object_confusion(matches: Matches, class_ids: Sequence[int], score_threshold: float) -> NDArray[np.int64]:
    """Counts pairs of target class and predicted class, matched at IoU 0.5 across classes.

    By descending score, each prediction is matched to the unmatched target with the highest IoU of at least 0.5, one of
    its own class if there is one. So classes can differ, each target is matched once, and a true positive of average
    precision is one here too, unless a prediction of another class with a higher score has its target. Predictions in a
    crowd of their class are ignored.

    Args:
        matches: Of all images.
        class_ids: K, the evaluated classes.
        score_threshold: Predictions with a lower score are dropped.

    Returns:
        (K + 1, K + 1) int64, rows by target, columns by prediction, in the order of `class_ids`; the last row and
        column are the background: unmatched predictions, and missed targets.
    """
    index = np.full(int(max([*class_ids, 0])) + 2, len(class_ids))  # the last one, and so -1, too, is the background
    index[list(class_ids)] = np.arange(len(class_ids))
    shown = (matches.scores >= score_threshold) & (matches.confused_with != IN_CROWD)
    targets, predictions = index[matches.confused_with[shown]], index[matches.class_ids[shown]]
    matrix = confusion_matrix(targets, predictions, len(class_ids) + 1)
    targets = np.bincount(index[matches.target_classes[matches.target_counts[:, 0]]], minlength=len(matrix))
    matrix[:-1, -1] = targets[:-1] - matrix[:-1].sum(1)
    return matrix
