"""A colour map from dark to bright."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_STOPS: Final = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    np.float32,
)
"""viridis (https://bids.github.io/colormap) at 0, 1/8, …, 1: (R, G, B)."""


def heat_colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours values by viridis, which is read alike in grey and with colour blindness.

    Args:
        values: (H, W), 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    places = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(values, places, _STOPS[:, channel]) for channel in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)
