"""Binary Netpbm images: as Pillow writes them, with comments, 16 bits, and what is wrong with them."""

import io

import numpy as np
import pytest
from PIL import Image

from models.errors import BrokenImage, ImageTooLarge, UnreadableImage
from models.imaging import ppm
from models.imaging.decoding import decode, inspect

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def test_wrapped_pixels_come_out_as_they_were():
    decoded = decode(ppm.encode(PIXELS))
    assert np.array_equal(decoded.pixels, PIXELS)
    assert decoded.size == (2, 3)
    assert decoded.pixels.flags.writeable


def test_pillow_reads_what_is_wrapped():
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(ppm.encode(PIXELS)))), PIXELS)


def test_a_grey_image_has_equal_channels():
    assert decode(b"P5\n2 1\n255\n\x00\xff").pixels.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_samples_are_scaled_from_their_greatest():
    assert decode(b"P5 3 1 100 \x00\x33\x64").pixels[0, :, 0].tolist() == [0, 130, 255]
    assert decode(b"P5 3 1 65535 \x00\x00\x80\x80\xff\xff").pixels[0, :, 0].tolist() == [0, 128, 255]


def test_comments_of_the_header_are_skipped():
    header = b"P5# one\n#\n 2#two\r1\n# three\n255\n"
    assert decode(header + b"\x07\x08").pixels[0, :, 0].tolist() == [7, 8]


@pytest.mark.parametrize(
    "data",
    [
        b"P6",
        b"P6 2 1 255",
        b"P6 0 1 255 ",
        b"P6 2 1 0 abcdef",
        b"P6 2 1 65536 " + bytes(12),
        b"P6 2 1 255 abcde",
        b"P6 -2 1 255 abcdef",
        b"P5 1 1 100 \x65",
        b"P6 " + b"#" * 2000 + b"\n2 1 255 abcdef",
    ],
    ids=["empty", "no samples", "no width", "no white", "too white", "cut", "negative", "above white", "long header"],
)
def test_a_broken_file_is_refused(data):
    with pytest.raises(BrokenImage, match="PPM"):
        decode(data)


def test_a_huge_size_is_refused_from_the_header():
    with pytest.raises(ImageTooLarge):
        inspect(b"P6 999999999 999999999 255\n")


@pytest.mark.parametrize("variant", [b"P1 1 1 1", b"P4 1 1 a", b"P7\n"])
def test_other_variants_are_refused_by_name(variant):
    with pytest.raises(UnreadableImage, match="ppm"):
        decode(variant)
