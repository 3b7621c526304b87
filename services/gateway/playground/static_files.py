"""The files of the playground: read and compressed once, and found by their name alone."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from blake3 import blake3

FOLDER: Final = Path(__file__).parent / "static"
"""Folder of the files; it has no folders of its own."""

PAGE: Final = "index.html"
"""The file of `GET /`."""

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
"""By suffix; files with another suffix are not served."""

COMPRESSED: Final = frozenset({".html", ".css", ".js", ".svg"})
"""Suffixes of text, which gzip makes smaller."""


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file with its headers.

    Attributes:
        body: The bytes.
        compressed: The same by gzip; None for images.
        media_type: For `Content-Type`.
        entity_tag: For `ETag`; the same for both encodings, so it is a weak one.
    """

    body: bytes
    compressed: bytes | None
    media_type: str
    entity_tag: str

    @classmethod
    def read(cls, path: Path) -> StaticFile:
        """Reads and compresses a file."""
        body = path.read_bytes()
        compressed = gzip.compress(body, 9, mtime=0) if path.suffix in COMPRESSED else None
        return cls(body, compressed, MEDIA_TYPES[path.suffix], f'W/"{blake3(body).hexdigest()[:32]}"')


@cache
def read_static_files() -> Mapping[str, StaticFile]:
    """All files by name, read at the first call."""
    paths = sorted(path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES)
    return {path.name: StaticFile.read(path) for path in paths}
