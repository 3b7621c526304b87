"""Reads size, kind and orientation of a JPEG from the segments before its first scan (ITU-T T.81, annex B).

Data behind the first scan marker is searched only in JPEGs of several scans, to limit their number: each scan costs a
pass over all pixels, however few bytes it has.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from models.errors import BrokenImage, UnreadableImage
from models.imaging.header import StoredHeader, too_many
from models.imaging.orientation import UPRIGHT, exif_orientation

MAX_SEGMENTS: Final = 4096
MAX_SCANS: Final = 40
"""Encoders write about 10; a scan takes 50 ms in an image of 50 million pixels."""

_MAX_FILL_BYTES: Final = 2**16
_MARKER: Final = re.compile(rb"\xff([\x01-\xfe])", re.DOTALL)
_NO_MARKER: Final = (b"\0", b"\xff", b"")
_BARE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_END: Final = 0xD9
_SCAN: Final = 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_READ_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_FRAME_NAMES: Final = {0xC3: "lossless", 0xCB: "lossless"}
_METADATA: Final = frozenset({*range(0xE1, 0xEE), 0xEF, 0xFE})
"""APP1 to APP13, APP15 and comments. APP0 (JFIF) and APP14 (Adobe) say how colours are stored, so they stay."""


@dataclass(frozen=True)
class JpegHeader(StoredHeader):
    """The header of a JPEG, with what its decoder needs.

    Attributes:
        components: Number of components: 1 (grey), 3 (YCbCr or RGB) or 4 (CMYK or YCCK).
        component_ids: Component identifiers, one byte each.
        progressive: Whether scans refine one another.
        scalable: Whether the first component (luma) is not subsampled; otherwise a scaled decode would blur it.
        first_scan: Offset of the first scan marker (SOS).
        metadata: Begin and end of the segments that decoding does not need.
    """

    components: int = 3
    component_ids: bytes = b""
    progressive: bool = False
    scalable: bool = True
    first_scan: int = 0
    metadata: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def without_metadata(self, data: bytes) -> bytes:
        """Removes the metadata segments, which Pillow would parse."""
        kept: list[bytes] = []
        position = 0
        for start, end in self.metadata:
            kept.append(data[position:start])
            position = end
        return b"".join((*kept, data[position:]))


def read_header(data: bytes) -> JpegHeader:
    """Reads the segments up to the first scan.

    Args:
        data: The JPEG.

    Raises:
        BrokenImage: The header is truncated or corrupt.
        UnreadableImage: The variant is not supported, such as 12 bits per sample.
        ImageTooLarge: There are too many segments, fill bytes or scans.
    """
    frame: bytes | None = None
    kind, orientation = 0, None
    metadata: list[tuple[int, int]] = []
    for marker, start, body, end in _segments(data):
        if marker == _SCAN:
            if frame is None:
                break
            header = _header(kind, frame, orientation or UPRIGHT, start, tuple(metadata))
            if header.progressive or data[body] < header.components:
                _check_scans(data, start)
            return header
        if marker in _FRAMES:
            if frame is not None:
                break
            kind, frame = marker, data[body:end]
        elif marker == 0xE1 and orientation is None and data[body : body + 6] == b"Exif\0\0":
            orientation = exif_orientation(data[body + 6 : end])
        if marker in _METADATA:
            metadata.append((start, end))
    raise BrokenImage("the JPEG header is truncated or corrupt")


def scans(data: bytes, first_scan: int) -> Iterator[bytes]:
    """Yields the parameters of every scan up to the end marker (T.81, B.2.3), from the number of components on.

    Args:
        data: The JPEG.
        first_scan: Offset of the first scan marker (SOS).
    """
    position = first_scan
    for match in _MARKER.finditer(data, first_scan):
        marker = match[1][0]
        if match.start() < position or marker in _BARE:
            continue
        if marker == _END:
            return
        length = int.from_bytes(data[match.end() : match.end() + 2], "big")
        position = match.end() + length
        if marker == _SCAN:
            yield data[match.end() + 2 : position]


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yields marker, and offsets of the segment, of its body, and of its end."""
    position, fill = 2, 0
    for _ in range(MAX_SEGMENTS):
        start = _marker_at(data, position, _MAX_FILL_BYTES - fill)
        if start is None:
            return
        fill += start - position
        marker, body = data[start + 1], start + 4
        if marker in _BARE:
            position = start + 2
            continue
        position = start + 2 + int.from_bytes(data[start + 2 : body], "big")
        if marker in (0xD8, _END) or position < body or position > len(data):
            return
        yield marker, start, body, position
    raise too_many("JPEG segments", MAX_SEGMENTS)


def _marker_at(data: bytes, position: int, fill: int) -> int | None:
    """Finds the next marker after at most `fill` fill bytes."""
    if data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] not in _NO_MARKER:
        return position
    match = _MARKER.search(data, position, position + 2 + fill)
    if match is None and position + 2 + fill < len(data):
        raise too_many("fill bytes between JPEG segments", _MAX_FILL_BYTES)
    return match.start() if match else None


def _header(
    kind: int, frame: bytes, orientation: int, first_scan: int, metadata: tuple[tuple[int, int], ...]
) -> JpegHeader:
    """Reads the frame header (T.81, B.2.2)."""
    if kind not in _READ_FRAMES:
        raise UnreadableImage(f"{_FRAME_NAMES.get(kind, 'hierarchical')} JPEGs cannot be read")
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        raise BrokenImage("the JPEG header is truncated or corrupt")
    precision, components = frame[0], frame[5]
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    if precision != 8:
        raise UnreadableImage(f"JPEGs of {precision} bits per sample cannot be read")
    if components not in (1, 3, 4):
        raise UnreadableImage(f"JPEGs of {components} components cannot be read")
    if height == 0 and width:
        raise UnreadableImage("JPEGs with their height after the first scan (DNL) cannot be read")
    if height == 0 or width == 0:
        raise BrokenImage("the JPEG header is truncated or corrupt")
    ids, factors = frame[6 : 6 + 3 * components : 3], frame[7 : 6 + 3 * components : 3]
    return JpegHeader(
        stored_size=(height, width),
        orientation=orientation,
        components=components,
        component_ids=ids,
        progressive=kind in (0xC2, 0xCA),
        scalable=all(one >> 4 <= factors[0] >> 4 and one & 15 <= factors[0] & 15 for one in factors),
        first_scan=first_scan,
        metadata=metadata,
    )


def _check_scans(data: bytes, first_scan: int) -> None:
    # counting bytes is fast and rarely wrong upwards: a thumbnail or a video behind the image may hold them, too
    if data.count(b"\xff\xda", first_scan) <= MAX_SCANS:
        return
    if sum(1 for _, _ in zip(range(MAX_SCANS + 1), scans(data, first_scan), strict=False)) > MAX_SCANS:
        raise too_many("JPEG scans", MAX_SCANS)
