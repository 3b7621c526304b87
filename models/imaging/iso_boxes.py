"""Parser of the boxes of AVIF, HEIC and JPEG 2000 files (ISO/IEC 14496-12, section 4.2)."""

import struct
from collections.abc import Iterator
from typing import Final

from models.errors import BrokenImage
from models.imaging.header import too_many

MAX_BOXES: Final = 4096


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Iterates over consecutive boxes.

    Args:
        data: The file.
        start: Offset of the first box.
        end: Offset of the end of the last box.

    Yields:
        Type of the box, and offsets of the begin and end of its body.

    Raises:
        BrokenImage: A box extends past `end`.
        ImageTooLarge: There are more than `MAX_BOXES`.
    """
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        body = start + 8
        if length == 1 and start + 16 <= end:
            (length,) = struct.unpack_from(">Q", data, body)
            body = start + 16
        stop = end if length == 0 else start + length
        if not body <= stop <= end:
            raise BrokenImage("the image is truncated or corrupt")
        yield kind, body, stop
        start = stop
    raise too_many("boxes", MAX_BOXES)
