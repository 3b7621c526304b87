"""Every kind of GIF, WebP and AVIF gives the picture that was stored; formats that are not read are refused by name.

libwebp, by imagecodecs, reads the same from a WebP.
"""

import struct
from itertools import product

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from loadtests.hardening.hostile_images import png_chunk
from models.errors import UnreadableImage
from models.imaging.decoding import decode, inspect
from tests.photos import encoded, exif_with_orientation, photo, quadrants
from tests.unit.imaging.matrix_pictures import HEIGHT, WIDTH, check, over_white, samples_of


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
