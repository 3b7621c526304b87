"""The colour palette: maximally distinct colours with legible text on them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

INK: Final[Color] = (14, 16, 22)
"""Near-black for text on a colour, and for the shadow around lines."""
PAPER: Final[Color] = (255, 255, 255)
"""Text on a dark background."""

_HEX: Final = (
    *("29d5e4", "fc2dc5", "f68c11", "bffe1a", "feb2fd", "4ab400", "8489fe", "fcd26b", "d97490", "41e686"),
    *("db7ff7", "b0ba51", "11a7d7", "23b894", "a9fcb2", "ff5636", "27fdf7", "fe93a1", "bb9220", "de46fa"),
)
COLORS: Final[tuple[Color, ...]] = tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in _HEX)
"""Selected greedily, each the farthest in Oklab from all before it, among the colours of sRGB with a lightness
of 0.68 to 0.92 and a chroma of 0.13 to 0.26: so the first colours lie farthest apart, and `INK` is legible on all.
Oklab: Björn Ottosson, https://bottosson.github.io/posts/oklab/
"""

_TO_CONES: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def color_of(key: int) -> Color:
    """Returns the colour of a key, such as a class id; keys repeat after twenty colours."""
    return COLORS[key % len(COLORS)]


def oklab(color: Color) -> NDArray[np.float64]:
    """Converts sRGB to Oklab, (3,), in which distance is perceptual difference; 0.02 is about just noticeable.

    Source: https://bottosson.github.io/posts/oklab/; the linear light of sRGB is that of IEC 61966-2-1.
    """
    values = np.array(color) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return _TO_LAB @ np.cbrt(_TO_CONES @ linear)
