"""The photos that are sent: scikit-image's public pictures, cut to 4:3, resized, and written as JPEG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SMALL = (480, 640)
LARGE = (1440, 1920)
"""(height, width) in pixels."""

CROWD = "crowd"
"""A picture of twelve people: `astronaut`, four times side by side in each of three rows."""

_QUALITY = 90
_BODY_BYTES = 100_000
_START_OF_IMAGE = b"\xff\xd8"
_COMMENT = b"\xff\xfe"
STAMP_BYTES = 8


def photos(size: tuple[int, int], names: Sequence[str]) -> list[bytes]:
    """Photos of one size.

    Args:
        size: (height, width) in pixels.
        names: What they show: each a name of `skimage.data`, or `CROWD`.

    Returns:
        JPEG files of quality 90, one for every name.
    """
    return [_encode(_picture(name, size), _QUALITY) for name in names]


def body_of_100_kb() -> bytes:
    """One 480 × 640 JPEG of 100,000 bytes: the photo of that many bytes or fewer, filled up with a comment segment."""
    picture = _picture("coffee", SMALL)
    data = max((_encode(picture, quality) for quality in range(60, 100)), key=_fitness)
    missing = _BODY_BYTES - len(data)
    assert 4 <= missing < 65_536, missing
    return _with_comment(data, b" " * (missing - 4))


def split_for_stamp(data: bytes) -> tuple[bytes, bytes]:
    """Make room in a JPEG for a number that makes it unlike any other, and the picture none the different.

    Args:
        data: A JPEG file.

    Returns:
        What goes before and after the `STAMP_BYTES` bytes of the number; together they are a JPEG with a comment.
        Source: ITU-T T.81, B.2.4.5 (COM segment).
    """
    stamped = _with_comment(data, bytes(STAMP_BYTES))
    at = len(_START_OF_IMAGE) + len(_COMMENT) + 2
    return stamped[:at], stamped[at + STAMP_BYTES :]


def _fitness(data: bytes) -> int:
    return len(data) if len(data) <= _BODY_BYTES - 4 else -1


def _with_comment(data: bytes, comment: bytes) -> bytes:
    length = (len(comment) + 2).to_bytes(2, "big")
    return _START_OF_IMAGE + _COMMENT + length + comment + data[len(_START_OF_IMAGE) :]


def _picture(name: str, size: tuple[int, int]) -> Image.Image:
    height, width = size
    return ImageOps.fit(Image.fromarray(_pixels(name)).convert("RGB"), (width, height), Image.Resampling.BICUBIC)


def _pixels(name: str) -> NDArray[np.uint8]:
    import skimage.data

    if name == CROWD:
        return np.tile(_pixels("astronaut"), (3, 4, 1))
    load: Callable[[], Any] = getattr(skimage.data, name)
    loaded = load()
    return np.asarray(loaded[0] if isinstance(loaded, tuple) else loaded)


def _encode(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
