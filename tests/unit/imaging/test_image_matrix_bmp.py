"""Every header, bit mask and run length of a BMP gives the picture that was stored, or is refused by name."""

import struct

import numpy as np
import pytest

from models.errors import BrokenImage, UnreadableImage
from models.imaging.decoding import decode, inspect
from tests.unit.imaging.matrix_pictures import HEIGHT, WIDTH, check, over_white, samples_of
from tests.unit.tiff_files import packed_rows


def bmp(
    rows: bytes,
    bits: int,
    header_bytes: int = 40,
    *,
    top_down: bool = False,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
    used: int = 0,
    gap: int = 0,
    height: int = HEIGHT,
    width: int = WIDTH,
) -> bytes:
    """Writes a BMP with any of its headers."""
    if header_bytes == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        sizes = struct.pack("<IiiHH", header_bytes, width, -height if top_down else height, 1, bits)
        header = sizes + struct.pack("<IIiiII", compression, len(rows), 2835, 2835, used, 0)
        inside = b"".join(struct.pack("<I", mask) for mask in masks)
        header = (header + inside if header_bytes > 40 else header).ljust(header_bytes, b"\0")[:header_bytes]
        header += inside if header_bytes == 40 else b""
    start = 14 + len(header) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + bytes(gap) + rows


def padded(rows: np.ndarray, bits: int, top_down: bool) -> bytes:
    """Packs (H, values) into rows of four bytes."""
    size = -(-rows.shape[1] * bits // 8)
    packed = packed_rows(rows, bits, "<") if bits != 24 else rows.tobytes()
    size = len(packed) // len(rows)
    lines = [packed[at : at + size].ljust(-(-size // 4) * 4, b"\0") for at in range(0, len(packed), size)]
    return b"".join(lines if top_down else reversed(lines))


@pytest.mark.parametrize("header_bytes", [12, 16, 40, 52, 56, 64, 108, 124])
@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("gap", [0, 10])
def test_every_header_of_a_bmp_keeps_its_picture(header_bytes, top_down, gap):
    if header_bytes == 12 and top_down:
        pytest.skip("sizes of an OS/2 header have no sign")
    for bits in (1, 2, 4, 8):
        indices = samples_of(1, bits)[..., 0]
        colours = (np.arange(3 * 2**bits).reshape(-1, 3) * 37 % 256).astype(np.uint8)
        entries = colours[:, ::-1] if header_bytes == 12 else np.pad(colours[:, ::-1], ((0, 0), (0, 1)))
        rows = padded(indices, bits, top_down)
        data = bmp(rows, bits, header_bytes, top_down=top_down, palette=entries.tobytes(), gap=gap)
        check(data, colours[indices].astype(float), 0)
    colours = samples_of(3, 8)
    rows = padded(colours[..., ::-1].reshape(HEIGHT, -1), 24, top_down)
    check(bmp(rows, 24, header_bytes, top_down=top_down, gap=gap), colours.astype(float), 0)
    fives = samples_of(3, 5).astype(np.uint16)
    rows = padded(fives[..., 0] << 10 | fives[..., 1] << 5 | fives[..., 2], 16, top_down)
    check(bmp(rows, 16, header_bytes, top_down=top_down, gap=gap), fives * (255 / 31))
    unused = np.concatenate([colours[..., ::-1], samples_of(4, 8)[..., 3:]], axis=2).view("<u4")[..., 0]
    rows = padded(unused, 32, top_down)
    check(bmp(rows, 32, header_bytes, top_down=top_down, gap=gap), colours.astype(float), 0)


@pytest.mark.parametrize("header_bytes", [40, 52, 56, 108, 124])
@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF800, 0x07E0, 0x001F, 0)),
        (16, (0x7C00, 0x03E0, 0x001F, 0x8000)),
        (16, (0x0F00, 0x00F0, 0x000F, 0xF000)),
        (32, (0xFF0000, 0x00FF00, 0x0000FF, 0xFF000000)),
        (32, (0x0000FF, 0x00FF00, 0xFF0000, 0)),
        (32, (0xFF000000, 0xFF0000, 0xFF00, 0xFF)),
        (32, (0x3FF00000, 0x000FFC00, 0x000003FF, 0xC0000000)),
    ],
)
def test_every_bit_mask_of_a_bmp_is_heeded(header_bytes, bits, masks):
    depths = [mask.bit_count() for mask in masks]
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    channels = [
        np.rint(samples_of(4, 8)[..., index] / 255 * (2**depth - 1)).astype(np.uint32)
        for index, depth in enumerate(depths)
    ]
    joined = sum(channel << max(shift, 0) for channel, shift in zip(channels, shifts, strict=True))
    values = np.stack(
        [channel / (2**depth - 1) * 255 for channel, depth in zip(channels, depths, strict=True) if depth], 2
    )
    alpha = values[..., 3:] / 255 if values.shape[2] == 4 and header_bytes >= 56 else np.ones((HEIGHT, WIDTH, 1))
    rows = padded(np.asarray(joined).astype("u2" if bits == 16 else "u4"), bits, False)
    held = masks[: {40: 3, 52: 3}.get(header_bytes, 4)]
    check(bmp(rows, bits, header_bytes, compression=3, masks=held), over_white(values[..., :3], alpha), 1.5)


def test_alpha_of_a_bmp_that_is_zero_throughout_is_not_meant():
    colours = np.pad(samples_of(3, 8)[..., ::-1], ((0, 0), (0, 0), (0, 1))).view("<u4")[..., 0]
    data = bmp(padded(colours, 32, False), 32, 124, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    check(data, samples_of(3, 8).astype(float), 0)


def test_a_bmp_with_fewer_colours_than_bits_allow_keeps_them():
    indices = samples_of(1, 8)[..., 0] % 5
    colours = np.array([[9, 8, 7], [255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3]], np.uint8)
    palette = np.pad(colours[:, ::-1], ((0, 0), (0, 1))).tobytes()
    check(bmp(padded(indices, 8, False), 8, palette=palette, used=5), colours[indices].astype(float), 0)


@pytest.mark.parametrize("bits", [4, 8])
def test_run_lengths_of_a_bmp_are_expanded(bits):
    colours = (np.arange(3 * 2**bits).reshape(-1, 3) * 37 % 256).astype(np.uint8)
    palette = np.pad(colours[:, ::-1], ((0, 0), (0, 1))).tobytes()
    ten, twenty = (0xAB, 0x34) if bits == 4 else (10, 20)
    literal = b"\x12\x3f\x90" if bits == 4 else bytes((1, 2, 3, 15, 9))
    codes = bytes((3, ten, 4, twenty, 0, 5)) + literal + b"\0" + b"\0\0"  # a row of runs and 5 literal pixels
    codes += bytes((0, 2, 2, 1, 6, twenty)) + b"\0\1"  # 2 columns and 1 row on, a run, the end
    expected = np.zeros((4, 12), int)
    if bits == 4:
        expected[3] = [10, 11, 10, 3, 4, 3, 4, 1, 2, 3, 15, 9]
        expected[1, 2:8] = [3, 4, 3, 4, 3, 4]
    else:
        expected[3] = [10, 10, 10, 20, 20, 20, 20, 1, 2, 3, 15, 9]
        expected[1, 2:8] = 20
    data = bmp(codes, bits, compression=3 - bits // 4, palette=palette, height=4, width=12)
    check(data, colours[expected].astype(float), 0)
    with pytest.raises(BrokenImage):
        decode(data[:-6])


@pytest.mark.parametrize(("bits", "compression", "header_bytes", "message"), [
    (0, 4, 40, "JPEG"), (0, 5, 40, "PNG"), (1, 3, 64, "OS/2"), (24, 4, 64, "OS/2"), (24, 3, 40, "24 bits"),
    (24, 0, 99, "header of 99 bytes"),
])  # fmt: skip
def test_a_bmp_that_is_not_read_is_refused_by_name(bits, compression, header_bytes, message):
    with pytest.raises(UnreadableImage, match=message):
        inspect(bmp(bytes(4000), bits, header_bytes, compression=compression))
