"""Every kind of PNG, BMP, GIF, WebP, AVIF and JPEG 2000 gives the picture that was stored, or is refused by name.

The picture is known, and where a second decoder (imagecodecs: libpng, libwebp, libavif, OpenJPEG and others) reads the
kind, the file is held to that, too.
"""

import struct
import zlib
from itertools import product

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from loadtests.hardening.hostile_images import png_chunk
from models.errors import BrokenImage, UnreadableImage
from models.imaging.decoding import decode, inspect
from tests.photos import encoded, exif_with_orientation, photo, quadrants
from tests.unit.tiff_files import packed_rows

HEIGHT, WIDTH = 21, 37
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16)}
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
PNG_KINDS = [
    (colour_type, depth)
    for colour_type, depths in DEPTHS.items()
    for depth in depths
]  # fmt: skip


def samples_of(channels: int, depth: int) -> np.ndarray:
    """(21, 37, channels) of all values that the depth has, in ramps of several directions."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    across, down = columns / (WIDTH - 1), rows / (HEIGHT - 1)
    ramps = np.stack([across, down, (across + down) / 2, 1 - down][:channels], axis=2)
    return np.rint(ramps * (2**depth - 1)).astype("u2" if depth == 16 else "u1")


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


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composites colours of 0 to 255 with alpha of 0 to 1."""
    return colours * alpha + 255 * (1 - alpha)


def check(data: bytes, expected: np.ndarray, tolerance: float = 1.001) -> None:
    pixels = decode(data).pixels
    assert inspect(data).size == pixels.shape[:2] == expected.shape[:2]
    assert np.abs(pixels - expected).max() <= tolerance


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


def gif(*, interlaced: bool, local: bool, transparent: int | None, offset: tuple[int, int], grow: int) -> bytes:
    """A GIF with a frame of `samples_of(1, 8)` somewhere on a larger canvas."""
    image = Image.fromarray(samples_of(1, 8)[..., 0]).convert("P")
    image.putpalette(np.arange(768, dtype=np.uint16).astype(np.uint8).tobytes())
    options = {} if transparent is None else {"transparency": transparent}
    whole = encoded(image, "GIF", interlace=interlaced, optimize=False, **options)
    palette, at = whole[13 : 13 + 768], whole.index(b",\0\0\0\0", 13 + 768)
    flags = whole[at + 9]
    place = struct.pack("<BHHHH", 0x2C, offset[1], offset[0], WIDTH, HEIGHT)
    screen = (
        whole[:6]
        + struct.pack("<HH", WIDTH + grow, HEIGHT + grow)
        + bytes((whole[10] & (0x7F if local else 0xFF), 3, 0))
    )
    frame = place + (bytes((flags | 0x87,)) + palette if local else bytes((flags,)))
    return screen + (b"" if local else palette) + whole[13 + 768 : at] + frame + whole[at + 10 :]


@pytest.mark.parametrize(("interlaced", "local"), list(product([False, True], [False, True])))
@pytest.mark.parametrize("transparent", [None, 7])
@pytest.mark.parametrize(("offset", "grow"), [((0, 0), 0), ((2, 5), 9)])
@pytest.mark.parametrize("cut", [0, 1])
def test_every_kind_of_gif_keeps_its_first_frame(interlaced, local, transparent, offset, grow, cut):
    data = gif(interlaced=interlaced, local=local, transparent=transparent, offset=offset, grow=grow)
    indices = samples_of(1, 8)[..., 0]
    colours = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(256, 3)
    expected = np.full((HEIGHT + grow, WIDTH + grow, 3), 255.0)
    frame = np.where((indices == (-1 if transparent is None else transparent))[..., None], 255, colours[indices])
    expected[offset[0] : offset[0] + HEIGHT, offset[1] : offset[1] + WIDTH] = frame
    check(data[: len(data) - cut], expected, 0)  # also without its trailer


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_every_kind_of_webp_looks_as_libwebp_reads_it(lossless, mode, orientation):
    image = photo("chelsea").resize((WIDTH, HEIGHT)).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(samples_of(4, 8)[..., 3]))
    data = encoded(image, "WEBP", lossless=lossless, exact=True, exif=exif_with_orientation(orientation))
    theirs = imagecodecs.webp_decode(data).astype(float)
    alpha = theirs[..., 3:] / 255 if theirs.shape[2] == 4 else np.ones((HEIGHT, WIDTH, 1))
    expected = over_white(theirs[..., :3], alpha)
    check(data, np.rot90(expected, -1) if orientation == 6 else expected, 2)


def test_a_webp_frame_smaller_than_its_canvas_lies_on_white():
    frames = [Image.new("RGBA", (32, 32)), Image.new("RGBA", (32, 32), "blue")]
    frames[0].paste((255, 0, 0, 255), (8, 4, 16, 20))
    pixels = decode(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)).pixels
    expected = np.full((32, 32, 3), 255)
    expected[4:20, 8:16] = (255, 0, 0)
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_avif_of_every_depth_looks_as_it_was_stored(bits, channels):
    samples = samples_of(channels, 8)
    deep = samples if bits == 8 else np.rint(samples * ((2**bits - 1) / 255)).astype(np.uint16)
    deep = deep[..., 0] if channels == 1 else deep
    data = bytes(
        imagecodecs.avif_encode(deep, level=100, bitspersample=bits, pixelformat=None if channels == 1 else "444")
    )
    alpha = samples[..., 3:] / 255 if channels == 4 else np.ones((HEIGHT, WIDTH, 1))
    pixels = decode(data).pixels
    assert inspect(data).size == decode(data).size == (HEIGHT, WIDTH)
    assert np.abs(pixels - over_white(samples[..., :3].astype(float), alpha)).mean() < 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_avif_is_turned_as_its_properties_say(orientation):
    data = encoded(quadrants(), "AVIF", exif=exif_with_orientation(orientation))
    image = Image.fromarray(decode(encoded(quadrants(), "PNG", exif=exif_with_orientation(orientation))).pixels)
    assert inspect(data).size == decode(data).size == (image.height, image.width)
    assert np.abs(decode(data).pixels.astype(int) - np.asarray(image)).mean() < 8


def test_an_avif_with_a_crop_is_refused():
    with pytest.raises(UnreadableImage, match="clean aperture"):
        inspect(encoded(quadrants(), "AVIF").replace(b"pixi", b"clap"))


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bare", [False, True])
def test_jpeg_2000_of_every_depth_looks_as_it_was_stored(bits, channels, bare):
    samples = samples_of(channels, 8)
    deep = samples if bits == 8 else np.rint(samples * ((2**bits - 1) / 255)).astype(np.uint16)
    codec = "j2k" if bare else "jp2"
    data = bytes(
        imagecodecs.jpeg2k_encode(np.squeeze(deep), level=0, bitspersample=bits, codecformat=codec, reversible=True)
    )
    alpha = samples[..., -1:] / 255 if channels in (2, 4) else np.ones((HEIGHT, WIDTH, 1))
    colours = samples[..., : 1 if channels < 3 else 3].astype(float)
    if bits > 8 and channels > 1:
        with pytest.raises(UnreadableImage, match=f"components of {bits} bits"):
            decode(data)
        return
    check(data, over_white(colours, alpha), 2)


def jp2_with(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Replaces a box in the header box of a JP2 file."""
    at = data.index(b"jp2h") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    position, inner = at + 8, [(kind, body)]
    while position < end:
        length = int.from_bytes(data[position : position + 4], "big")
        inner.append((data[position + 4 : position + 8], data[position + 8 : position + length]))
        position += length
    kept = [inner[1], inner[0], *(box for box in inner[2:] if box[0] != kind)]
    header = b"".join(struct.pack(">I4s", 8 + len(content), name) + content for name, content in kept)
    return data[:at] + struct.pack(">I4s", 8 + len(header), b"jp2h") + header + data[end:]


def channels_box(*rows: tuple[int, int, int]) -> bytes:
    return struct.pack(">H", len(rows)) + b"".join(struct.pack(">HHH", *row) for row in rows)


@pytest.mark.parametrize(
    ("channels", "kind", "body", "message"),
    [
        (4, b"colr", b"\2\0\0" + bytes(16) + b"CMYK" + bytes(108), "ICC profile that is neither grey nor RGB"),
        (3, b"colr", b"\2\0\0" + bytes(16) + b"Lab " + bytes(108), "ICC profile that is neither grey nor RGB"),
        (4, b"cdef", channels_box((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 2, 0)), "straight alpha"),
        (4, b"cdef", channels_box((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 65535, 65535)), "straight alpha"),
        (3, b"cdef", channels_box((0, 0, 3), (1, 0, 2), (2, 0, 1)), "channels other than grey, RGB"),
    ],
)
def test_jpeg_2000_channels_that_pillow_would_take_for_others_are_refused(channels, kind, body, message):
    samples = samples_of(channels, 8)
    data = jp2_with(bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2", reversible=True)), kind, body)
    with pytest.raises(UnreadableImage, match=message):
        inspect(data)


def test_jpeg_2000_with_an_rgb_profile_is_read():
    samples = samples_of(3, 8)
    data = bytes(imagecodecs.jpeg2k_encode(samples, level=0, codecformat="jp2", reversible=True))
    profile = b"\2\0\0" + bytes(16) + b"RGB " + bytes(108)
    check(jp2_with(data, b"colr", profile), samples.astype(float), 2)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heix" + bytes(100), "HEIC"),
        (b"\xff\x0a" + bytes(100), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100), "JPEG XL"),
        (b"\x89PNG\r\n\x1a\n" + png_chunk(b"CgBI", b"\x50\0\x20\2"), "CgBI"),
    ],
)
def test_a_format_that_is_not_read_is_refused_by_name(data, name):
    for read in (inspect, decode):
        with pytest.raises(UnreadableImage, match=name):
            read(data)
