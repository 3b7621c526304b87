"""Every kind of PNG gives the picture that was stored; libpng, by imagecodecs, reads the same from it."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest

from loadtests.hardening.hostile_images import png_chunk
from models.errors import BrokenImage
from models.imaging.decoding import decode
from tests.photos import encoded, quadrants
from tests.unit.imaging.matrix_pictures import HEIGHT, WIDTH, check, over_white, samples_of
from tests.unit.tiff_files import packed_rows

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
PNG_KINDS = [
    (colour_type, depth)
    for colour_type, depths in DEPTHS.items()
    for depth in depths
]  # fmt: skip


def png(samples: np.ndarray, colour_type: int, depth: int, *chunks: bytes, interlaced: bool = False) -> bytes:
    """Writes a PNG without filters (PNG specification, sections 8 and 11)."""
    height, width = samples.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced)
    rows = b""
    for top, left, down, across in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[top::down, left::across]
        if part.size:
            packed = packed_rows(part.reshape(len(part), -1), depth, ">")
            size = len(packed) // len(part)
            rows += b"".join(b"\0" + packed[at : at + size] for at in range(0, len(packed), size))
    parts = (png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour_type", "depth"), PNG_KINDS)
@pytest.mark.parametrize("transparency", [False, True])
def test_every_kind_of_png_keeps_its_picture(colour_type, depth, interlaced, transparency):
    samples = samples_of(CHANNELS[colour_type], depth)
    values = samples * (255 / (2**depth - 1))
    chunks: list[bytes] = []
    alpha = np.ones((HEIGHT, WIDTH, 1))
    if colour_type == PALETTE:
        colours = np.arange(3 * 2**depth, dtype=np.uint8).reshape(-1, 3)[::-1] * np.uint8(5)
        shades = np.linspace(0, 255, 2**depth).astype(np.uint8)
        chunks = [png_chunk(b"PLTE", colours.tobytes())]
        values = colours[samples[..., 0]].astype(float)
        if transparency:
            chunks.append(png_chunk(b"tRNS", shades.tobytes()))
            alpha = shades[samples] / 255
    elif transparency:
        key = samples[HEIGHT // 2, WIDTH // 2]
        chunks = [png_chunk(b"tRNS", struct.pack(f">{len(key)}H", *key.tolist()))]
        alpha = (samples != key).any(axis=2, keepdims=True).astype(float)
        assert colour_type in (GREY_ALPHA, RGBA) or 0 < (1 - alpha).sum() < HEIGHT * WIDTH / 1.5
    if colour_type in (GREY_ALPHA, RGBA):
        values, alpha, chunks = values[..., :-1], values[..., -1:] / 255, []
    data = png(samples, colour_type, depth, *chunks, interlaced=interlaced)
    if depth in (8, 16) and not transparency and colour_type != PALETTE:
        assert np.array_equal(imagecodecs.png_decode(data), np.squeeze(samples))
    check(data, over_white(values, alpha), 2.0 if depth == 16 else 1.001)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-12],
        lambda data: data[:-16],
        lambda data: data + b"PK\x03\x04" + bytes(100),
        lambda data: data[:33] + png_chunk(b"tEXt", b"k\0v")[:-1] + b"?" + data[33:],
        lambda data: data[:33] + png_chunk(b"iCCP", b"not a profile") + data[33:],
        lambda data: data[:33] + png_chunk(b"gAMA", b"") + data[33:],
    ],
    ids=["no-end", "no-sum-of-pixels", "trailing-bytes", "wrong-sum-of-a-text", "broken-profile", "broken-gamma"],
)
def test_a_png_whose_pixels_are_whole_is_read(damage):
    samples = samples_of(3, 8)
    check(damage(png(samples, RGB, 8)), samples.astype(float))


def test_a_png_with_a_wrong_sum_of_its_palette_is_broken():
    data = bytearray(encoded(quadrants().convert("P"), "PNG"))
    data[data.index(b"PLTE") + 5] ^= 1
    with pytest.raises(BrokenImage):
        decode(bytes(data))
