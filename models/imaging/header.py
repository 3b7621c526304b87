"""What a header says of an image, and the bounds on what is read of a header.

Files are walked in Python, about 0.3 µs a part, so that a bound on the number of parts bounds the time. What no
decoder needs (profiles, texts, thumbnails) is stepped over and never inflated.
"""

from dataclasses import dataclass
from typing import Final

from models.errors import ImageTooLarge
from models.imaging.orientation import UPRIGHT, upright_size

MAX_PARTS: Final = 16_384
"""The most chunks or blocks that are stepped over. Writers of PNG make chunks of 8 KiB and more: 128 MiB of a file."""


@dataclass(frozen=True)
class StoredHeader:
    """What an image says of itself.

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
    """Makes the error for a file with more parts than are read.

    Args:
        what: The parts, such as "PNG chunks".
        limit: The most that are read.
    """
    return ImageTooLarge(f"the image has too many {what}; at most {limit} are read", {"limit": limit})
