"""Colours that stay apart, from each other and from the text on them."""

from typing import Final

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

INK: Final[Color] = (14, 16, 22)
"""Nearly black: text on a colour, and the shadow around lines."""
PAPER: Final[Color] = (255, 255, 255)
"""Text on a dark ground."""

_HEX: Final = (
    *("29d5e4", "fc2dc5", "f68c11", "bffe1a", "feb2fd", "4ab400", "8489fe", "fcd26b", "d97490", "41e686"),
    *("db7ff7", "b0ba51", "11a7d7", "23b894", "a9fcb2", "ff5636", "27fdf7", "fe93a1", "bb9220", "de46fa"),
)
COLORS: Final[tuple[Color, ...]] = tuple((int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in _HEX)
"""Chosen one after the other, each the farthest in Oklab from all before it, among the colours of sRGB with a lightness
of 0.68 to 0.92 and a chroma of 0.13 to 0.26: so the first colours lie farthest apart, and `INK` is legible on all.
Oklab: Björn Ottosson, https://bottosson.github.io/posts/oklab/
"""


def color_of(key: int) -> Color:
    """Gives the colour of a key, such as a class id; keys that are twenty apart share one."""
    return COLORS[key % len(COLORS)]
