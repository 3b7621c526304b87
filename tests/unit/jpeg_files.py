"""JPEGs that no encoder at hand writes: of any sampling factors, and made of scans of one component each."""

import struct
from io import BytesIO

import numpy as np
from PIL import Image

Factors = tuple[tuple[int, int], ...]
"""(horizontal, vertical) sampling factors of each component (ITU-T T.81, A.1.1)."""


def sampled_jpeg(image: Image.Image, factors: Factors) -> bytes:
    """Writes a JPEG of YCbCr with any sampling factors.

    Every component is a scan of its own, whose data is that of a grey JPEG of the component's size: scans of one
    component have no padding blocks (T.81, A.2.2).

    Args:
        image: RGB.
        factors: Of Y, Cb and Cr.
    """
    across, down = max(h for h, _ in factors), max(v for _, v in factors)
    frame = struct.pack(">BHHB", 8, image.height, image.width, len(factors))
    tables, scans = b"", b""
    for index, (plane, (h, v)) in enumerate(zip(image.convert("YCbCr").split(), factors, strict=True)):
        size = -(-image.width * h // across), -(-image.height * v // down)
        file = BytesIO()
        plane.resize(size, Image.Resampling.BOX).save(file, "JPEG", quality=95)
        grey = file.getvalue()
        at = grey.index(b"\xff\xda")
        tables = tables or grey[grey.index(b"\xff\xdb") : grey.index(b"\xff\xc0")] + _huffman_tables(grey)
        frame += bytes((index + 1, h << 4 | v, 0))
        scans += b"\xff\xda\0\x08\x01" + bytes((index + 1, 0)) + b"\0\x3f\0" + grey[at + 10 : -2]
    return b"\xff\xd8" + tables + b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame + scans + b"\xff\xd9"


def scaled_planes(image: Image.Image, factors: Factors) -> np.ndarray:
    """(H, W, 3) RGB that such a JPEG stands for: each component brought down and up again."""
    across, down = max(h for h, _ in factors), max(v for _, v in factors)
    planes = []
    for plane, (h, v) in zip(image.convert("YCbCr").split(), factors, strict=True):
        small = plane.resize((-(-image.width * h // across), -(-image.height * v // down)), Image.Resampling.BOX)
        planes.append(small.resize(image.size, Image.Resampling.BILINEAR))
    return np.asarray(Image.merge("YCbCr", planes).convert("RGB"))


def _huffman_tables(grey: bytes) -> bytes:
    start, end = grey.index(b"\xff\xc4"), grey.index(b"\xff\xda")
    return grey[start:end]
