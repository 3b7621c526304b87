"""Every way of storing a TIFF gives the picture that was stored, or is refused by name; tifffile reads each as well."""

import struct
from io import BytesIO
from itertools import cycle, product

import numpy as np
import pytest
import tifffile
from PIL import Image

from loadtests.hardening.tiff_directory import with_directory
from models.errors import ImageTooLarge, UnreadableImage
from models.imaging.decoding import decode, inspect
from models.imaging.tiff_blocks import written
from tests.unit.tiff_files import (
    BLACK_IS_ZERO,
    DEFLATE,
    FAX_2,
    FAX_3,
    FAX_4,
    INKS,
    LZMA,
    LZW,
    NO_COMPRESSION,
    OLD_DEFLATE,
    PACKBITS,
    PALETTE,
    RGB,
    WHITE_IS_ZERO,
    ZSTD,
    TiffKind,
    tiff_file,
)  # fmt: skip

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 21, 37
ORDERS = [("<", False), (">", False), ("<", True), (">", True)]
LAYOUTS = [{}, {"rows_per_strip": 1}, {"rows_per_strip": 8}, {"tile": (16, 16)}, {"tile": (16, 48)}]
COMPRESSIONS = [NO_COMPRESSION, LZW, DEFLATE, OLD_DEFLATE, PACKBITS, LZMA, ZSTD]
UNSIGNED = [("u1", 1), ("u1", 2), ("u1", 4), ("u1", 8), ("u2", 12), ("u2", 16)]
GUESSED = [("u4", 32), ("u8", 64), ("i1", 8), ("i2", 16), ("i4", 32), ("i8", 64), ("f2", 16), ("f4", 32), ("f8", 64)]
NO_ALPHA, UNSPECIFIED, ASSOCIATED, UNASSOCIATED = (), (0,), (1,), (2,)


def picture(channels: int) -> np.ndarray:
    """(21, 37, channels) from 0 to 1: a ramp in each channel, all of other directions, black and white included."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    ramps = [
        columns / (WIDTH - 1),
        rows / (HEIGHT - 1),
        (rows + columns) / (HEIGHT + WIDTH - 2),
        1 - rows / (HEIGHT - 1),
    ]
    pixels = np.stack(ramps[:channels], axis=2)
    pixels[0, 0], pixels[-1, -1] = 0, 1
    return pixels


def stored(pixels: np.ndarray, dtype: str, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives samples of a type, and what 0 to 255 they stand for."""
    if dtype[0] == "f":
        return pixels.astype(dtype), pixels * 255
    greatest = 2**bits - 1 if dtype[0] == "u" and bits <= 16 else 255 if bits > 8 else 127
    samples = np.rint(pixels * greatest).astype(dtype)
    return samples, samples.astype(float) * (255 / greatest if dtype[0] == "u" and bits <= 16 else 1)


def check(data: bytes, expected: np.ndarray, samples: np.ndarray | None, kind: object) -> None:
    """Holds our picture to what was stored, and the file to tifffile's reading of it."""
    if samples is not None:
        assert np.array_equal(np.squeeze(tifffile.imread(BytesIO(data))), np.squeeze(samples)), kind
    pixels = decode(data).pixels
    assert inspect(data).size == pixels.shape[:2], kind
    assert np.abs(pixels - expected).max() <= 1.5, kind


def on_white(colours: np.ndarray, alpha: np.ndarray | None, extra: tuple[int, ...]) -> np.ndarray:
    if alpha is None or extra == UNSPECIFIED:
        return colours
    share = alpha / 255
    return colours + 255 * (1 - share) if extra == ASSOCIATED else colours * share + 255 * (1 - share)


@pytest.mark.parametrize(("dtype", "bits"), UNSIGNED + GUESSED)
@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB])
def test_grey_and_rgb_of_every_type_and_layout_keep_their_picture(dtype, bits, photometric):
    channels, compressions = 3 if photometric == RGB else 1, cycle(COMPRESSIONS)
    samples, colours = stored(picture(channels), dtype, bits)
    expected = 255 - colours if photometric == WHITE_IS_ZERO else colours
    for planar, layout, (order, big) in product([False, True][: channels - 1 or 1], LAYOUTS, ORDERS):
        for compression in (NO_COMPRESSION, next(compressions)):
            kind = TiffKind(photometric, bits, order, big, planar, compression=compression, **layout)
            check(tiff_file(samples, kind), expected, samples_for_tifffile(samples, planar), kind)


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 16), ("f4", 32), ("u1", 4)])
@pytest.mark.parametrize("photometric", [BLACK_IS_ZERO, RGB])
@pytest.mark.parametrize("extra", [UNSPECIFIED, ASSOCIATED, UNASSOCIATED])
def test_alpha_is_composited_on_white_in_every_layout(dtype, bits, photometric, extra):
    channels = 4 if photometric == RGB else 2
    pixels = picture(4)[..., 4 - channels :]
    if extra == ASSOCIATED:
        pixels[..., :-1] *= pixels[..., -1:]
    for planar, layout, (order, _) in product([False, True], LAYOUTS, ORDERS[:2]):
        samples, values = stored(pixels, dtype, bits)
        kind = TiffKind(photometric, bits, order, False, planar, extra=extra, **layout)
        expected = np.clip(on_white(values[..., :-1], values[..., -1:], extra), 0, 255)
        check(tiff_file(samples, kind), expected, samples_for_tifffile(samples, planar), kind)


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 16), ("u4", 32), ("i2", 16)])
def test_a_horizontal_predictor_is_undone(dtype, bits):
    for channels, planar, layout, (order, big) in product([1, 3, 4], [False, True], LAYOUTS, ORDERS):
        samples, colours = stored(picture(channels), dtype, bits)
        extra = UNSPECIFIED if channels == 4 else NO_ALPHA
        photometric = BLACK_IS_ZERO if channels == 1 else RGB
        kind = TiffKind(photometric, bits, order, big, planar, compression=LZW, predictor=2, extra=extra, **layout)
        check(tiff_file(samples, kind), colours[..., :3], samples_for_tifffile(samples, planar), kind)


@pytest.mark.parametrize(("dtype", "bits"), [("f2", 16), ("f4", 32), ("f8", 64)])
def test_a_predictor_of_floats_is_undone(dtype, bits):
    for channels, layout, (order, big) in product([1, 3], LAYOUTS, ORDERS):
        samples, colours = stored(picture(channels), dtype, bits)
        photometric = BLACK_IS_ZERO if channels == 1 else RGB
        kind = TiffKind(photometric, bits, order, big, compression=DEFLATE, predictor=3, **layout)
        check(tiff_file(samples, kind), colours, samples_for_tifffile(samples, False), kind)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("depth", [8, 16])
def test_a_palette_gives_its_colours(bits, depth):
    ramp = np.linspace(0, 1, 2**bits)
    colours = np.stack([ramp, ramp[::-1], ramp**2])
    greatest = 2**depth - 1
    colour_map = np.rint(colours * greatest).astype(int)
    samples = (np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1) * 7 % 2**bits).astype("u2" if bits == 16 else "u1")
    expected = (colour_map * (255 / greatest)).T[samples[..., 0]]
    for layout, (order, big), compression in product(LAYOUTS, ORDERS, [NO_COMPRESSION, LZW]):
        kind = TiffKind(PALETTE, bits, order, big, compression=compression, **layout)
        data = tiff_file(samples, kind, {320: tuple(colour_map.reshape(-1).tolist())})
        check(data, expected, samples, kind)


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 16)])
def test_inks_become_rgb_by_the_plain_formula(dtype, bits):
    for planar, layout, (order, big) in product([False, True], LAYOUTS, ORDERS[:2]):
        samples, inks = stored(picture(4), dtype, bits)
        expected = (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255
        kind = TiffKind(INKS, bits, order, big, planar, **layout)
        data = tiff_file(samples, kind)
        assert np.abs(decode(data).pixels - expected).max() <= 2, kind


@pytest.mark.parametrize("photometric", [WHITE_IS_ZERO, BLACK_IS_ZERO])
@pytest.mark.parametrize("reversed_bits", [False, True])
def test_fax_and_reversed_bits_keep_their_picture(photometric, reversed_bits):
    samples = (picture(1) > 0.5).astype(np.uint8)
    expected = 255 * (1 - samples if photometric == WHITE_IS_ZERO else samples)
    for layout, compression in product(LAYOUTS[:3], [NO_COMPRESSION, PACKBITS, LZW, FAX_2, FAX_3, FAX_4]):
        kind = TiffKind(photometric, 1, compression=compression, reversed_bits=reversed_bits, **layout)
        check(tiff_file(samples, kind), expected, None, kind)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 16), ("f4", 32)])
def test_a_tiff_is_turned_upright(orientation, dtype, bits):
    samples, colours = stored(picture(3), dtype, bits)
    upright = {
        1: colours, 2: colours[:, ::-1], 3: colours[::-1, ::-1], 4: colours[::-1], 5: colours.transpose(1, 0, 2),
        6: np.rot90(colours, -1), 7: np.rot90(colours.transpose(1, 0, 2), 2), 8: np.rot90(colours),
    }  # fmt: skip
    for planar, layout in product([False, True], LAYOUTS):
        data = tiff_file(samples, TiffKind(RGB, bits, planar=planar, orientation=orientation, **layout))
        check(data, upright[orientation], None, orientation)


@pytest.mark.parametrize(("quality", "subsampling"), [(100, (1, 1)), (95, (2, 1)), (95, (2, 2))])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 16}, {"tile": (16, 16)}])
@pytest.mark.parametrize("photometric", ["minisblack", "rgb", "ycbcr"])
def test_jpeg_in_a_tiff_looks_as_tifffile_reads_it(quality, subsampling, layout, photometric):
    pixels = np.rint(picture(3)[..., :3] * 255).astype(np.uint8)
    pixels = pixels[..., 0] if photometric == "minisblack" else pixels
    file = BytesIO()
    tifffile.imwrite(
        file, pixels, photometric="rgb" if photometric == "ycbcr" else photometric, compression="jpeg",
        compressionargs={"level": quality, "outcolorspace": "ycbcr"} if photometric == "ycbcr" else {"level": quality},
        subsampling=subsampling if photometric == "ycbcr" else None, **layout,
    )  # fmt: skip
    theirs = np.squeeze(tifffile.imread(BytesIO(file.getvalue())))
    ours = decode(file.getvalue()).pixels
    assert np.abs(ours.astype(int) - theirs.reshape(HEIGHT, WIDTH, -1)).max() <= 2
    assert np.abs(ours.astype(int) - pixels.reshape(HEIGHT, WIDTH, -1)).mean() < 6


@pytest.mark.parametrize(
    ("kind", "tags", "message"),
    [
        (TiffKind(8), {}, "LAB"),
        (TiffKind(32803), {}, "raw camera"),
        (TiffKind(6), {}, "YCbCr"),
        (TiffKind(RGB), {259: (6,)}, "old-style JPEG"),
        (TiffKind(RGB), {259: (34712,)}, "JPEG 2000"),
        (TiffKind(RGB), {258: (5, 6, 5)}, "unequal"),
        (TiffKind(RGB), {258: (10, 10, 10)}, "10 bits"),
        (TiffKind(RGB), {339: (5, 5, 5)}, "sample format 5"),
        (TiffKind(RGB), {259: (5,), 317: (9,)}, "predictor 9"),
    ],
)
def test_a_tiff_that_is_not_read_is_refused_by_name(kind, tags, message):
    data = tiff_file(np.rint(picture(3) * 255).astype(np.uint8), kind, tags)
    for read in (inspect, decode):
        with pytest.raises(UnreadableImage, match=message):
            read(data)


def samples_for_tifffile(samples: np.ndarray, planar: bool) -> np.ndarray:
    """Planes come first in what tifffile reads of planes."""
    return np.moveaxis(samples, 2, 0) if planar and samples.shape[2] > 1 else samples


def test_a_tiff_without_some_of_its_blocks_is_refused_by_name():
    whole = with_directory({256: (8,), 257: (8,), 258: (8,), 259: (8,), 262: (1,), 277: (1,), 278: (8,)}, [b""])
    data = bytearray(whole)
    entry = data.index(struct.pack("<HHI", 273, 4, 1))
    data[entry + 8 : entry + 12] = bytes(4)
    with pytest.raises(UnreadableImage, match="leave out blocks"):
        decode(bytes(data))


def test_samples_of_more_bytes_than_pillow_allows_pixels_are_read(monkeypatch):
    samples = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    file = BytesIO()
    tifffile.imwrite(file, samples * np.uint16(257), compression="zlib", rowsperstrip=30, photometric="rgb")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert np.array_equal(decode(file.getvalue()).pixels, samples)


def test_a_fax_tile_that_takes_too_much_memory_is_refused():
    tags = {256: 1, 257: 1, 258: 1, 259: 4, 262: 0, 277: 1, 322: 32768, 323: 32768}
    with pytest.raises(ImageTooLarge, match="too much memory"):
        inspect(written(tags, [bytes(64)], tiled=True))
