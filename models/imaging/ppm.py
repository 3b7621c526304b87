"""Decodes binary Netpbm images with NumPy: PGM (P5) and PPM (P6), 8 and 16 bits.

The format is a short header and plain samples, so that wrapping an array of pixels and decoding it costs a copy each.
Source: https://netpbm.sourceforge.net/doc/ppm.html and pgm.html.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import BrokenImage
from models.imaging.header import StoredHeader
from models.imaging.samples import parts

SIGNATURES: Final = (b"P5", b"P6")
_MOST_HEADER: Final = 1024
"""Bytes of a header, with its comments."""
_GAP: Final = rb"(?:\s|#[^\r\n]*[\r\n])+"
_HEADER: Final = re.compile(rb"P[56]" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,5})\s")
_GREATEST: Final = 65_535


@dataclass(frozen=True)
class PpmHeader(StoredHeader):
    """The header of a PGM or PPM.

    Attributes:
        channels: 1 or 3.
        greatest: The sample value of white, 1 to 65,535; above 255, samples have two bytes, the more significant first.
        pixels_start: Offset of the samples in bytes.
    """

    channels: int = 3
    greatest: int = 255
    pixels_start: int = 0


def read_header(data: bytes) -> PpmHeader:
    """Reads the header.

    Args:
        data: The PGM or PPM.

    Raises:
        BrokenImage: It is truncated or corrupt.
    """
    found = _HEADER.match(data[:_MOST_HEADER])
    width, height, greatest = map(int, found.groups()) if found else (0, 0, 0)
    if not found or not (width and height and 1 <= greatest <= _GREATEST):
        raise BrokenImage("the PPM header is truncated or corrupt")
    return PpmHeader(
        (height, width), channels=3 if data[1:2] == b"6" else 1, greatest=greatest, pixels_start=found.end()
    )


def decode(data: bytes, header: PpmHeader) -> NDArray[np.uint8]:
    """Decodes to RGB.

    Args:
        data: The PGM or PPM.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: Samples are missing, or above the greatest one.
    """
    shape = (*header.stored_size, header.channels)
    kind = np.dtype(np.uint8 if header.greatest < 256 else ">u2")
    if len(data) - header.pixels_start < np.prod(shape, dtype=np.int64) * kind.itemsize:
        raise BrokenImage("the PPM is truncated or corrupt")
    samples = np.frombuffer(data, kind, int(np.prod(shape, dtype=np.int64)), header.pixels_start).reshape(shape)
    if header.greatest not in (255, _GREATEST) and samples.max() > header.greatest:
        raise BrokenImage("the PPM has samples above its greatest one")
    pixels = np.empty((*header.stored_size, 3), np.uint8)
    if header.greatest == 255:
        pixels[:] = samples
        return pixels
    for part in parts(samples):
        pixels[part] = np.rint(samples[part] * (255 / header.greatest))
    return pixels


def encode(pixels: NDArray[np.uint8]) -> bytes:
    """Wraps pixels as a PPM, without loss.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    height, width, _ = pixels.shape
    return b"P6 %d %d 255\n" % (width, height) + pixels.tobytes()
