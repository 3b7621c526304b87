"""Assigns colours to many objects of one class, so that neighbours differ although colours repeat."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.drawing.palette import COLORS, oklab

_ALIKE: Final = 0.1
"""Distance of two colours in Oklab at which they are easily distinguished side by side."""


def keys_apart(boxes: Sequence[tuple[float, float, float, float]]) -> list[int]:
    """Assigns a colour to each of many objects.

    Args:
        boxes: x_min, y_min, x_max, y_max of each.

    Returns:
        A key for `models.drawing.palette.color_of` for each: the first objects take the colours in order, and each
        later one the colour that is least similar to those of its neighbours.
    """
    count, colors = len(boxes), len(COLORS)
    keys = list(range(min(count, colors)))
    if count <= colors:
        return keys
    corners = np.array(boxes, np.float64)
    centres = (corners[:, :2] + corners[:, 2:]) / 2
    reach = np.sqrt(np.prod(np.maximum(corners[:, 2:] - corners[:, :2], 1), axis=1))
    for place in range(colors, count):
        distances = np.linalg.norm(centres[:place] - centres[place], axis=1)
        closeness = ((reach[:place] + reach[place]) / 2 / np.maximum(distances, 1)) ** 2
        keys.append(int(np.argmin(closeness @ _LIKENESS[keys])))
    return keys


def _likeness() -> NDArray[np.float64]:
    """(colours, colours) similarity: 1 for equal ones, 0 for clearly distinct ones."""
    points = np.array([oklab(color) for color in COLORS])
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    return np.exp(-((distances / _ALIKE) ** 2))


_LIKENESS: Final = _likeness()
