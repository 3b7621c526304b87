"""IoU of the boxes or masks of one image by pycocotools, also where there are none."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


def ious_of(predictions: Any, targets: Any, crowds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Computes the IoU of every prediction with every target.

    Args:
        predictions: N: boxes (N, 4) of x, y, width and height (`models.geometry.boxes.with_sizes`), or masks as COCO's
            run lengths. Masks hold the GIL.
        targets: M, likewise.
        crowds: (M,), COCO's `iscrowd`.

    Returns:
        (N, M) in [0, 1]; with a crowd, intersection over the area of the prediction.
    """
    if not len(predictions) or not len(targets):
        return np.zeros((len(predictions), len(targets)))
    return np.array(cast(Any, coco_mask).iou(predictions, targets, crowds.astype(np.uint8)), np.float64)
