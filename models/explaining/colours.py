"""Colour maps from dark to bright, of matplotlib (https://bids.github.io/colormap, public domain).

Lightness grows evenly, so that the order of values is seen in grey, and with any colour vision, too.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Stops = Sequence[tuple[int, int, int]]
"""Red, green and blue, 0 to 255, at equal distances from the value 0 to the value 1."""

VIRIDIS: Final[Stops] = (
    (68, 1, 84),
    (71, 44, 122),
    (59, 81, 139),
    (44, 113, 142),
    (33, 144, 141),
    (39, 173, 129),
    (92, 200, 99),
    (170, 220, 50),
    (253, 231, 37),
)
"""For maps alone."""
INFERNO: Final[Stops] = (
    (0, 0, 4),
    (22, 11, 54),
    (66, 10, 104),
    (106, 23, 110),
    (147, 38, 103),
    (188, 55, 84),
    (221, 81, 58),
    (244, 118, 24),
    (252, 164, 10),
    (246, 215, 70),
    (252, 254, 164),
)
"""For maps over a photo: the green of viridis is hard to tell from a photo's."""


def colour_map(values: NDArray[np.float32], stops: Stops) -> NDArray[np.uint8]:
    """Colours values, linear between the stops of a colour map.

    Args:
        values: (H, W) in [0, 1]; others are clipped.
        stops: The colour map.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    places = np.linspace(0, 1, len(stops))
    channels = [np.interp(values, places, channel) for channel in zip(*stops, strict=True)]
    return np.stack(channels, -1).round().astype(np.uint8)
