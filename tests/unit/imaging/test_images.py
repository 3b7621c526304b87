"""Every format and colour mode comes out as upright RGB of known colours."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from models.errors import BrokenImage, EmptyImage, ImageTooLarge, UnreadableImage
from models.imaging import jpeg
from models.imaging.decoding import FORMATS, decode, inspect
from models.imaging.header import MAX_PARTS
from models.imaging.iso_boxes import MAX_BOXES
from models.imaging.jpeg_header import MAX_SCANS, MAX_SEGMENTS
from tests.checkout import DOCS
from tests.photos import BLUE, GREEN, RED, WHITE, corners, encoded, exif_with_orientation, photo, quadrants

QUADRANTS = [RED, GREEN, BLUE, WHITE]
TURNS = {  # EXIF 2.32, 4.6.4: how the stored picture must be turned to stand upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNDO = TURNS | {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}


@pytest.fixture(params=["simplejpeg", "pillow"])
def jpeg_library(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(jpeg, "simplejpeg", None)
    return request.param


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_format_keeps_its_colours_and_its_size(image_format):
    options = {"lossless": True} if image_format == "webp" else {"quality": 100} if image_format == "jpeg" else {}
    data = encoded(quadrants(), image_format, **options)
    decoded = decode(data)
    assert inspect(data).format == image_format
    assert inspect(data).size == decoded.size == decoded.pixels.shape[:2] == (40, 60)
    assert np.abs(np.array(corners(decoded.pixels)) - np.array(QUADRANTS)).max() <= 2


@pytest.mark.usefixtures("jpeg_library")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_turns_the_picture_upright(image_format, orientation):
    stored = quadrants().transpose(UNDO[orientation])
    lossless = {"lossless": True} if image_format == "WEBP" else {"quality": 100} if image_format == "JPEG" else {}
    data = encoded(stored, image_format, exif=exif_with_orientation(orientation), **lossless)
    decoded = decode(data)
    assert inspect(data).size == decoded.size == (40, 60)
    assert np.abs(np.array(corners(decoded.pixels)) - np.array(QUADRANTS)).max() <= 2


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_out_of_range_is_upright(orientation):
    data = encoded(quadrants(), "PNG", exif=exif_with_orientation(orientation))
    assert corners(decode(data).pixels) == QUADRANTS


def test_a_broken_exif_block_leaves_the_picture_as_it_is():
    data = encoded(quadrants(), "JPEG", quality=100, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert decode(data).size == (40, 60)


@pytest.mark.usefixtures("jpeg_library")
@pytest.mark.parametrize("image_format", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(image_format):
    decoded = decode(encoded(quadrants().convert("CMYK"), image_format, quality=100))
    assert np.abs(np.array(corners(decoded.pixels)) - np.array(QUADRANTS)).max() <= 3


@pytest.mark.usefixtures("jpeg_library")
@pytest.mark.parametrize(
    ("mode", "image_format"), [("L", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("1", "TIFF"), ("1", "BMP")]
)
def test_grey_becomes_equal_channels(mode, image_format):
    grey = Image.new("L", (32, 32), 255)
    grey.paste(0, (0, 0, 16, 32))
    pixels = decode(encoded(grey.convert(mode), image_format)).pixels
    assert corners(pixels) == [(0, 0, 0), WHITE, (0, 0, 0), WHITE]


def test_a_palette_keeps_its_colours():
    assert corners(decode(encoded(quadrants().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")).pixels) == QUADRANTS


def test_a_transparent_palette_entry_becomes_white():
    image = quadrants().quantize(4)
    red = image.getpixel((0, 0))
    for image_format in ("PNG", "GIF"):
        assert corners(decode(encoded(image, image_format, transparency=red)).pixels) == [WHITE, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_alpha_is_composited_on_white(mode, image_format):
    image = Image.new(mode, (8, 8), 0)
    image.putalpha(51)  # black at one fifth
    assert tuple(decode(encoded(image, image_format)).pixels[4, 4]) == (204, 204, 204)


def test_a_transparent_colour_of_rgb_becomes_white():
    assert corners(decode(encoded(quadrants(), "PNG", transparency=BLUE)).pixels) == [RED, GREEN, WHITE, WHITE]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(image_format):
    samples = np.array([[0, 257 * 100, 65535]], np.uint16)
    pixels = decode(encoded(Image.fromarray(samples), image_format)).pixels
    assert pixels[0, :, 0].tolist() == [0, 100, 255]


def test_sixteen_bit_rgb_is_scaled_not_clipped():
    samples = np.array([[[65535, 257 * 100, 0]]], ">u2")
    assert decode(sixteen_bit_rgb_png(samples)).pixels.tolist() == [[[255, 100, 0]]]


@pytest.mark.parametrize("scale", [1.0, 255.0, 65535.0])
def test_a_float_picture_is_scaled_by_the_span_that_it_fills(scale):
    samples = np.array([[0.0, 0.2, 1.0, np.nan]], np.float32) * scale
    assert decode(encoded(Image.fromarray(samples), "TIFF")).pixels[0, :, 0].tolist() == [0, 51, 255, 0]


def test_a_float_picture_with_negative_values_is_stretched():
    samples = np.array([[-3.0, 0.0, 3.0]], np.float32)
    assert decode(encoded(Image.fromarray(samples), "TIFF")).pixels[0, :, 0].tolist() == [0, 128, 255]


def test_the_first_frame_of_an_animation_is_taken():
    other = Image.new("RGB", (60, 40), BLUE)
    for image_format in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if image_format == "WEBP" else {}
        data = encoded(quadrants(), image_format, save_all=True, append_images=[other], **options)
        assert corners(decode(data).pixels) == QUADRANTS


@pytest.mark.usefixtures("jpeg_library")
@pytest.mark.parametrize(
    ("min_short_side", "expected"), [(None, 512), (257, 512), (256, 256), (100, 128), (64, 64), (8, 64)]
)
def test_a_jpeg_is_decoded_at_the_smallest_scale_that_suffices(min_short_side, expected):
    decoded = decode(encoded(photo("astronaut"), "JPEG"), min_short_side=min_short_side)
    assert decoded.pixels.shape == (expected, expected, 3)
    assert decoded.size == (512, 512)


@pytest.mark.usefixtures("jpeg_library")
def test_a_scaled_decode_looks_like_the_full_one():
    data = encoded(photo("astronaut"), "JPEG", quality=95)
    full = decode(data).pixels.reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
    scaled = decode(data, min_short_side=128).pixels
    assert np.abs(full - scaled).mean() < 2


def test_pixels_are_contiguous_and_writable_whatever_the_orientation():
    for orientation in range(1, 9):
        pixels = decode(encoded(quadrants(), "JPEG", exif=exif_with_orientation(orientation))).pixels
        assert pixels.flags.c_contiguous and pixels.flags.writeable


def test_no_bytes_are_refused_as_empty():
    with pytest.raises(EmptyImage):
        inspect(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"hello", b"<!doctype html><html></html>", b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(60), b"\0" * 100, b"{}", b"\xff\xd8", b"RIFF\0\0\0\0WAVE", b"8BPS\0\1",
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_as_unsupported(data):
    for read in (inspect, decode):
        with pytest.raises(UnreadableImage):
            read(data)


@pytest.mark.usefixtures("jpeg_library")
@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.97])
def test_a_truncated_image_is_refused(image_format, kept):
    data = encoded(photo("astronaut").resize((128, 128)), image_format)
    with pytest.raises(BrokenImage):
        decode(data[: max(12, int(len(data) * kept))])


def test_a_jpeg_with_stray_bytes_before_its_end_is_still_read():
    data = encoded(quadrants(), "JPEG", quality=100)
    assert decode(data[:-2] + b"\0\0\0\0" + data[-2:]).size == (40, 60)


def test_a_jpeg_with_a_zip_behind_it_is_just_the_jpeg():
    assert decode(encoded(quadrants(), "JPEG") + b"PK\x03\x04" + bytes(100)).size == (40, 60)


def test_too_many_bytes_are_refused_before_anything_is_read():
    with pytest.raises(ImageTooLarge) as caught:
        inspect(b"\xff\xd8\xff" + bytes(98), max_bytes=100)
    assert caught.value.details == {"bytes": 101, "max_bytes": 100}


@pytest.mark.parametrize("image_format", FORMATS)
def test_the_pixel_cap_includes_its_own_value(image_format):
    data = encoded(quadrants(), image_format)
    assert decode(data, max_pixels=2400).size == (40, 60)
    for read in (inspect, decode):
        with pytest.raises(ImageTooLarge) as caught:
            read(data, max_pixels=2399)
        assert caught.value.details["max_pixels"] == 2399


def test_a_colour_mode_without_a_way_to_rgb_is_refused_as_unsupported():
    with pytest.raises(UnreadableImage, match="LAB"):
        decode(encoded(Image.new("LAB", (8, 8)), "TIFF"))


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_format_and_every_bound_is_documented(image_format):
    document = (DOCS / "images.md").read_text(encoding="utf-8").replace("JPEG 2000", "JPEG2000")
    assert f"| {image_format} |" in document.lower()
    bounds = MAX_PARTS, MAX_SEGMENTS, MAX_SCANS, MAX_BOXES
    assert all(f"{bound:,}" in document for bound in bounds)


def test_many_threads_decode_as_one_does():
    encodings = [
        encoded(photo("chelsea"), image_format) for image_format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
    ]
    expected = [decode(data).pixels.sum() for data in encodings]
    with ThreadPoolExecutor(8) as pool:
        sums = list(pool.map(lambda data: decode(data).pixels.sum(), encodings * 6))
    assert sums == expected * 6


def sixteen_bit_rgb_png(samples: np.ndarray) -> bytes:
    """Writes a PNG of 16 bits a channel, which Pillow cannot."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        png_chunk(*part) for part in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
