"""Decodes JPEG with `simplejpeg` (libjpeg-turbo); with Pillow where that is not installed or refuses a file.

Scaled decoding uses the factors 1/2, 1/4 and 1/8 only: the others (n/8) have no vector code in libjpeg-turbo and take
longer than a full decode (640 x 480: 1.18 ms at 5/8, 0.81 ms in full). The fast cosine transform and fast upsampling of
libjpeg-turbo are left off: they gain 5 % and cost accuracy.
"""

# pyright: reportMissingTypeStubs=false

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage
from models.imaging import pillow
from models.imaging.jpeg_header import JpegHeader, read_header, scans

try:
    import simplejpeg
except ImportError:  # a bare machine: Pillow does everything, more slowly
    simplejpeg = None

__all__ = ["decode", "read_header"]

_STRAY_BYTES: Final = "extraneous bytes before marker"
_HARMLESS: Final = (
    _STRAY_BYTES,  # some cameras pad their files
    "Invalid SOS parameters for sequential JPEG",  # some encoders leave them zero; they are not used
    "Unknown Adobe color transform code",
    "unknown JFIF revision number",
)
"""The libjpeg warnings with which an image is still whole."""

_UNNAMED_SAMPLING: Final = "subsampling level"
"""TurboJPEG knows six kinds of subsampling by name and refuses all others, which libjpeg decodes."""

_NO_END: Final = "Premature end of JPEG file"
_END_MARKER: Final = b"\xff\xd9"
_DISTURBANCE: Final = bytes(range(0x11, 0x99, 0x11)) * 8
"""Entropy-coded data that changes the pixels of an incomplete file."""


def decode(data: bytes, header: JpegHeader, min_short_side: int | None = None) -> NDArray[np.uint8]:
    """Decodes to RGB, without orientation.

    Args:
        data: The JPEG.
        header: Its header.
        min_short_side: As for `models.imaging.decoding.decode`.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The data is truncated or corrupt.
    """
    factor = scale_factor(min(header.stored_size), min_short_side)
    if simplejpeg is None or header.components == 4:  # TurboJPEG does not turn CMYK and YCCK into RGB
        return _decode_with_pillow(data, header, factor)
    try:
        return _decode_strictly(data, header, factor)
    except (ValueError, KeyError) as error:
        problem = str(error)
        if _NO_END in problem:
            return _decode_without_end(data, header, factor)
        if _UNNAMED_SAMPLING in problem or any(warning in problem for warning in _HARMLESS):
            return _decode_with_pillow(data, header, factor)
        raise BrokenImage("the JPEG is truncated or corrupt") from error


def scale_factor(short_side: int, min_short_side: int | None) -> int:
    """Returns 1, 2, 4 or 8: the factor by which the sides shrink in the decode."""
    if min_short_side is None:
        return 1
    return next((factor for factor in (8, 4, 2) if short_side // factor >= min_short_side), 1)


def _decode_strictly(data: bytes, header: JpegHeader, factor: int) -> NDArray[np.uint8]:
    """Raises ValueError at every warning of libjpeg."""
    assert simplejpeg is not None
    height, width = header.stored_size
    return simplejpeg.decode_jpeg(
        data, "RGB", min_height=-(-height // factor), min_width=-(-width // factor), min_factor=factor
    )


def _decode_without_end(data: bytes, header: JpegHeader, factor: int) -> NDArray[np.uint8]:
    """Decodes a JPEG without an end marker, if all of its data is there.

    libjpeg warns when it needs bits and finds the end marker, so a decode without a warning was whole. Zeros at the end
    are padding, except that the data itself may end with one or two.
    """
    stripped = data.rstrip(b"\0")
    for zeros in range(min(len(data) - len(stripped), 2) + 1):
        ended = stripped + bytes(zeros) + _END_MARKER
        if not _has_all_scans(ended, header):
            break
        try:
            return _decode_strictly(ended, header, factor)
        except (ValueError, KeyError) as error:
            if _STRAY_BYTES in str(error):  # more than was needed stands there
                return _pillow_rgb(header.without_metadata(ended), header, factor)
    raise BrokenImage("the JPEG is truncated or corrupt")


def _decode_with_pillow(data: bytes, header: JpegHeader, factor: int) -> NDArray[np.uint8]:
    plain = header.without_metadata(data)
    try:
        return _pillow_rgb(plain, header, factor)
    except BrokenImage:
        stripped = plain.rstrip(b"\0")
        if stripped.endswith(_END_MARKER) or not _has_all_scans(data + _END_MARKER, header):
            raise
    # Pillow does not pass on libjpeg's warnings. Where all data is there, whatever stands before the end is skipped.
    # The zero is for data that ends with 0xFF, which a zero follows; elsewhere it is padding.
    pixels = _pillow_rgb(stripped + b"\0" + _END_MARKER, header, factor)
    if np.array_equal(pixels, _pillow_rgb(stripped + b"\0" + _DISTURBANCE + _END_MARKER, header, factor)):
        return pixels
    raise BrokenImage("the JPEG is truncated or corrupt")


def _pillow_rgb(data: bytes, header: JpegHeader, factor: int) -> NDArray[np.uint8]:
    with pillow.opened(data, "jpeg") as image:
        if factor > 1 and header.scalable:
            image.draft(None, (header.stored_size[1] // factor, header.stored_size[0] // factor))
        return pillow.rgb(image)


def _has_all_scans(data: bytes, header: JpegHeader) -> bool:
    """Whether the scans contain every coefficient of every component at full precision (T.81, G.1.1).

    Without an end marker, this distinguishes a complete file from one that was cut between two scans.
    """
    lacking = {component: set(range(64)) for component in header.component_ids}
    for scan in scans(data, header.first_scan):
        count = scan[0] if scan else 0
        if len(scan) < 4 + 2 * count:
            return False
        first, last, approximation = scan[1 + 2 * count : 4 + 2 * count]
        sent = range(first, last + 1) if header.progressive else range(64)
        for component in scan[1 : 1 + 2 * count : 2]:
            if not approximation & 0x0F or not header.progressive:
                lacking.get(component, set()).difference_update(sent)
    return not any(lacking.values())
