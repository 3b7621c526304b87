"""Decodes the primary image of an AVIF with Pillow's libavif (AV1 Image File Format; ISO/IEC 23008-12)."""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import features

from models.errors import BrokenImage, UnreadableImage
from models.imaging import pillow
from models.imaging.header import StoredHeader, too_many
from models.imaging.iso_boxes import MAX_BOXES, boxes

_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIF_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

_Property = tuple[bytes, int, int]
_TURNS: Final[Mapping[tuple[int, int | None], int]] = {
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (1, 0): 5,
    (2, 0): 2,
    (3, 0): 7,
    (0, 1): 2,
    (1, 1): 7,
    (2, 1): 4,
    (3, 1): 5,
}
"""EXIF orientation of quarter turns to the left (irot) and then a mirror (imir: 0 top with bottom, 1 left with right).

ISO/IEC 23008-12, sections 6.5.10 and 6.5.12."""


def brands(data: bytes) -> frozenset[bytes]:
    """Returns the brands of a file's ftyp box; none where the file does not begin with one."""
    length = int.from_bytes(data[:4], "big")
    if data[4:8] != b"ftyp" or not 16 <= length <= 1024:
        return frozenset()
    box = data[8:length]
    return frozenset((box[:4], *(box[at : at + 4] for at in range(8, len(box), 4))))


def is_avif(data: bytes) -> bool:
    """Whether the brands are those of AVIF."""
    return not _BRANDS.isdisjoint(brands(data))


def is_heic(data: bytes) -> bool:
    """Whether the brands are those of HEIC or other HEIF files that are not AVIF."""
    return not is_avif(data) and not _HEIF_BRANDS.isdisjoint(brands(data))


def read_header(data: bytes) -> StoredHeader:
    """Reads the properties of the primary image.

    Args:
        data: The AVIF.

    Raises:
        struct.error: They are truncated.
        BrokenImage: They are missing or corrupt.
        UnreadableImage: This Pillow has no AVIF decoder; or the file has no still image, or one that is to be cropped.
        ImageTooLarge: There are too many boxes.
    """
    if not features.check("avif"):
        raise UnreadableImage("AVIF images cannot be read here: this Pillow was built without libavif")
    meta = next(((start, end) for kind, start, end in boxes(data, 0, len(data)) if kind == b"meta"), None)
    if meta is None:
        raise UnreadableImage("AVIF files without a still image cannot be read")
    parts = _by_type(data, meta[0] + 4, meta[1])
    if b"pitm" not in parts or b"iprp" not in parts:
        raise BrokenImage("the AVIF header is truncated or corrupt")
    start, _ = parts[b"pitm"]
    (primary,) = struct.unpack_from(">H" if data[start] == 0 else ">I", data, start + 4)
    found = {kind: (start, end) for kind, start, end in _properties(data, parts[b"iprp"], primary)}
    if b"ispe" not in found:
        raise BrokenImage("the AVIF header is truncated or corrupt")
    width, height = struct.unpack_from(">II", data, found[b"ispe"][0] + 4)
    if not width or not height:
        raise BrokenImage("the AVIF header is truncated or corrupt")
    if b"clap" in found:  # libavif does not crop
        raise UnreadableImage("AVIF images with a clean aperture (clap) cannot be read")
    turn = data[found[b"irot"][0]] & 3 if b"irot" in found else 0
    mirror = data[found[b"imir"][0]] & 1 if b"imir" in found else None
    return StoredHeader((height, width), _TURNS[turn, mirror])


def decode(data: bytes, header: StoredHeader) -> NDArray[np.uint8]:
    """Decodes to RGB, without orientation; transparency is composited on white.

    Args:
        data: The AVIF.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The data is truncated or corrupt.
    """
    with pillow.opened(data, "avif") as image:
        if (image.height, image.width) != header.stored_size:
            raise BrokenImage("the AVIF is truncated or corrupt")
        return pillow.rgb(image)


def _by_type(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    return {kind: (body, stop) for kind, body, stop in boxes(data, start, end)}


def _properties(data: bytes, iprp: tuple[int, int], item: int) -> Iterator[_Property]:
    """Yields the properties of an item: boxes in ipco, which ipma associates with items."""
    known: list[_Property] = []
    for kind, start, end in boxes(data, *iprp):
        if kind == b"ipco":
            known = list(boxes(data, start, end))
        elif kind == b"ipma":
            for index in _associations(data, start, item):
                if 0 < index <= len(known):
                    yield known[index - 1]


def _associations(data: bytes, start: int, item: int) -> Iterator[int]:
    version, wide = data[start], bool(data[start + 3] & 1)
    (entries,) = struct.unpack_from(">I", data, start + 4)
    position = start + 8
    for _ in range(min(entries, MAX_BOXES)):
        (found,) = struct.unpack_from(">H" if version < 1 else ">I", data, position)
        position += 2 if version < 1 else 4
        count, position = data[position], position + 1
        if found == item:
            for _ in range(count):
                yield struct.unpack_from(">H", data, position)[0] & 0x7FFF if wide else data[position] & 0x7F
                position += 2 if wide else 1
            return
        position += count * (2 if wide else 1)
    if entries > MAX_BOXES:
        raise too_many("images in one AVIF", MAX_BOXES)
