"""Conversion of box formats: corners (xyxy) to corner and size (xywh)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def with_sizes(corners: ArrayLike) -> NDArray[np.float64]:
    """Converts boxes from xyxy to xywh, COCO's format.

    Args:
        corners: (N, 4) x_min, y_min, x_max, y_max; N may be 0.

    Returns:
        (N, 4) x_min, y_min, width, height.
    """
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
