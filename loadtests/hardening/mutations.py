"""Seed images of every format, and random damage to them: the same for the same seed of the random numbers."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from PIL import Image

from loadtests.photos import photos

_EDGE = 96
_EXTREMES: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seed_images() -> list[bytes]:
    """Whole, valid images: every format that is read, in several modes and layouts."""
    rgb = Image.open(io.BytesIO(photos((_EDGE, _EDGE), ["coffee"])[0])).convert("RGB")
    grey = rgb.convert("L")
    rgba = rgb.copy()
    rgba.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    written: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (rgb, "JPEG", {}),
        (rgb, "JPEG", {"progressive": True}),
        (rgb, "JPEG", {"subsampling": 0, "exif": _exif()}),
        (grey, "JPEG", {}),
        (rgb.convert("CMYK"), "JPEG", {}),
        (rgb, "PNG", {}),
        (rgba, "PNG", {}),
        (rgb.convert("P"), "PNG", {}),
        (deep, "PNG", {}),
        (rgb.convert("1"), "PNG", {}),
        (rgb, "WEBP", {}),
        (rgba, "WEBP", {"lossless": True}),
        (rgb.convert("P"), "GIF", {}),
        (rgb.convert("P"), "GIF", {"save_all": True, "append_images": [grey.convert("P")]}),
        (rgb, "BMP", {}),
        (rgb.convert("P"), "BMP", {}),
        (rgb, "TIFF", {}),
        (rgb, "TIFF", {"compression": "tiff_lzw"}),
        (rgb, "TIFF", {"compression": "tiff_deflate"}),
        (deep, "TIFF", {}),
        (rgb.convert("1"), "TIFF", {"compression": "group4"}),
    ]
    return [encode(*one) for one in written]


def mutants(seed: int) -> Iterator[bytes]:
    """Damaged images without end."""
    rng = random.Random(seed)
    seeds = seed_images()
    while True:
        data = bytearray(rng.choice(seeds))
        damage(rng, data)
        if rng.random() < 0.05:
            data = data[: rng.randrange(64)] + rng.choice(seeds)
        yield bytes(data)


def damage(rng: random.Random, data: bytearray) -> None:
    """Damages bytes in one to eight places: flips bits, writes extreme numbers, cuts, removes, inserts and repeats."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_DAMAGE)(rng, data)


def encode(image: Image.Image, image_format: str, options: dict[str, Any]) -> bytes:
    """An image file in memory; `options` are those of Pillow's `Image.save`."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def _flip_bits(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 4, 16))):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_header_bits(rng: random.Random, data: bytearray) -> None:
    for _ in range(rng.choice((1, 2, 4))):
        if data:
            data[rng.randrange(min(len(data), 160))] ^= 1 << rng.randrange(8)


def _write_extreme(rng: random.Random, data: bytearray) -> None:
    size = rng.choice((1, 2, 4))
    value = rng.choice(_EXTREMES) & (2 ** (8 * size) - 1)
    at = rng.randrange(min(max(1, len(data)), rng.choice((64, 512, 2**20))))
    data[at : at + size] = value.to_bytes(size, rng.choice(("big", "little")))


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _remove(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    del data[at : at + rng.choice((1, 2, 16, 256))]


def _insert(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data) + 1)
    size = rng.choice((1, 2, 16, 256, 4096))
    data[at:at] = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))


def _repeat(rng: random.Random, data: bytearray) -> None:
    at, size = rng.randrange(len(data) + 1), rng.choice((4, 64, 512))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 100))


_DAMAGE: Final[tuple[Callable[[random.Random, bytearray], None], ...]] = (
    _flip_bits,
    _flip_header_bits,
    _write_extreme,
    _write_extreme,
    _cut,
    _remove,
    _insert,
    _repeat,
)
