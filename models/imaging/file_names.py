"""Which files of a folder are taken for images; a file that is named is read whatever its name."""

from typing import Final

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".jp2", ".j2k", ".jpf"}
)
"""In lower case."""
