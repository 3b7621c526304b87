"""Text rendering in Pillow's bundled font: measuring, truncation, and replacement of missing glyphs."""

import unicodedata
from functools import lru_cache
from typing import Final

from PIL import ImageFont

_ELLIPSIS: Final = "…"
_DRAWABLE: Final = frozenset(map(chr, range(0x20, 0x7F))) | set("©«°±´·»‘’“”…‹›⁄™")
"""Characters with glyphs in the bundled font (a subset of Aileron, public domain)."""
_PLAINER: Final = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"ı": "i", "–": "-", "—": "-"}
)
"""Replacements of Latin characters without a Unicode decomposition."""
_CAP_HEIGHT: Final = 0.7
"""Cap height of the font, per pixel of size."""


class Lettering:
    """The font at one size.

    Args:
        size: Pixels from one line to the next, roughly.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.font = _font(size)

    def width(self, text: str) -> int:
        """Width of a text in pixels, rounded up."""
        return int(self.font.getlength(text)) + 1

    def baseline(self, height: int) -> int:
        """Distance from the top of a line of `height` pixels to the baseline that centres capitals vertically."""
        return round((height + _CAP_HEIGHT * self.size) / 2)

    def fit(self, text: str, width: int) -> str:
        """Truncates a text to at most `width` pixels, with an ellipsis; empty where not even that fits."""
        if self.width(text) <= width:
            return text
        shortest, longest = 0, len(text)
        while shortest < longest:
            middle = (shortest + longest + 1) // 2
            if self.width(text[:middle].rstrip() + _ELLIPSIS) <= width:
                shortest = middle
            else:
                longest = middle - 1
        return text[:shortest].rstrip() + _ELLIPSIS if shortest else ""


def drawable(text: str, substitute: str) -> str:
    """Converts a text to characters of the font, on one line.

    Args:
        text: Anything.
        substitute: Returned where nothing legible would be left.

    Returns:
        Text of the font's characters only, not empty: accents and symbols are gone, letters of other scripts are
        question marks, and where those are the most, it is the substitute.
    """
    plain, lost = "", 0
    for char in unicodedata.normalize("NFKD", text[:256].translate(_PLAINER)):
        if char in _DRAWABLE:
            plain += char
        elif char.isspace():
            plain += " "
        elif char.isalnum():
            plain, lost = plain + "?", lost + 1
    plain = " ".join(plain.split())
    return plain if plain and 2 * lost < len(plain) else substitute


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this build of Pillow has no FreeType, without which no text can be drawn")
    return font
