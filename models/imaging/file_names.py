"""The file suffixes by which images are found in a folder; a file given by name may have any suffix."""

from typing import Final

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".avif", ".jp2", ".j2k", ".jpf"}
)
"""In lower case."""
