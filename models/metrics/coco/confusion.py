"""What was taken for what: the confusion matrix of objects, with the background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.matches import IN_CROWD, Matches
from models.metrics.confusion import confusion_matrix


def object_confusion(matches: Matches, class_ids: Sequence[int], score_threshold: float) -> NDArray[np.int64]:
    """What was taken for what, at IoU 0.5.

    By falling score, everything that was found takes the target that it overlaps most of those left, one of its own
    class if there is one, by 0.5 or more. So the classes can differ, each target stands for one found object at most,
    and what is found is right here, too, if it is so in average precision, unless something of another class was surer
    to be there. What lies in a crowd of its class is left out.

    Args:
        matches: Of all images.
        class_ids: K, those that are measured.
        score_threshold: What has a lower score is left out.

    Returns:
        (K + 1, K + 1) int64, rows by target, columns by what was found, in the order of `class_ids`; the last ones are
        the background: what nothing was found for, and what stands for nothing.
    """
    index = np.full(int(max([*class_ids, 0])) + 2, len(class_ids))  # the last one, and so -1, too, is the background
    index[list(class_ids)] = np.arange(len(class_ids))
    shown = (matches.scores >= score_threshold) & (matches.confused_with != IN_CROWD)
    taken, found = index[matches.confused_with[shown]], index[matches.class_ids[shown]]
    matrix = confusion_matrix(taken, found, len(class_ids) + 1)
    targets = np.bincount(index[matches.target_classes[matches.target_counts[:, 0]]], minlength=len(matrix))
    matrix[:-1, -1] = targets[:-1] - matrix[:-1].sum(1)
    return matrix
