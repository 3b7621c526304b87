"""The header fields that all formats share, and the bounds on reading headers.

Headers are parsed in Python, about 0.3 µs per chunk, so a limit on the number of chunks limits the time. Metadata that
no decoder needs (profiles, texts, thumbnails) is skipped and never decompressed.
"""

from dataclasses import dataclass
from typing import Final

from models.errors import ImageTooLarge
from models.imaging.orientation import UPRIGHT, upright_size

MAX_PARTS: Final = 16_384
"""The most chunks or blocks of a file. PNG encoders write chunks of 8 KiB or more, so this allows 128 MiB."""


@dataclass(frozen=True)
class StoredHeader:
    """The size and orientation of an image.

    Attributes:
        stored_size: (height, width) in pixels as stored, before orientation.
        orientation: 1 to 8, as in EXIF.
    """

    stored_size: tuple[int, int]
    orientation: int = UPRIGHT

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels of the upright image."""
        return upright_size(self.stored_size, self.orientation)


def too_many(what: str, limit: int) -> ImageTooLarge:
    """Makes the error for a file with more chunks, blocks or tags than the limit.

    Args:
        what: The parts, such as "PNG chunks".
        limit: The most that are read.
    """
    return ImageTooLarge(f"the image has too many {what}; at most {limit} are read", {"limit": limit})
