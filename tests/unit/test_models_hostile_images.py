"""Whatever bytes come, decoding ends in pixels or in an `ImageError`, soon, and in little memory."""

import resource
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BrokenImage, ImageError, ImageTooLarge
from models.images import FORMATS, DecodedImage, decode, inspect
from tests.photos import encoded, exif_with_orientation, quadrants

# Pillow warns of odd metadata before it carries on; in these tests nearly all metadata is odd.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

VALID = [encoded(quadrants(), name, exif=exif_with_orientation(6)) for name in ("JPEG", "PNG", "WEBP", "TIFF")] + [
    encoded(quadrants().convert("P"), "GIF"),
    encoded(quadrants(), "BMP"),
    encoded(quadrants().convert("CMYK"), "JPEG"),
    encoded(quadrants(), "JPEG", progressive=True),
    encoded(quadrants().convert("P"), "PNG", transparency=0),
    encoded(quadrants(), "TIFF", compression="tiff_lzw"),
    encoded(quadrants(), "TIFF", compression="jpeg"),
    encoded(quadrants().convert("1"), "TIFF", compression="group4"),
    encoded(quadrants(), "WEBP", lossless=True),
]
SIGNATURES = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\0\0\0\0WEBP",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
]


def decode_or_refuse(data: bytes) -> DecodedImage | None:
    """Decodes; an `ImageError` gives None and anything else fails the test."""
    for read in (inspect, decode):
        try:
            answer = read(data, max_pixels=100_000)
        except ImageError as error:
            assert "/" not in str(error) and error.code
            return None
    assert isinstance(answer, DecodedImage)
    return answer


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"", *SIGNATURES]), st.binary(max_size=400))
def test_random_bytes_are_refused_as_images(signature, noise):
    decode_or_refuse(signature + noise)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_damaged_image_is_decoded_or_refused(data):
    image = bytearray(data.draw(st.sampled_from(VALID)))
    for _ in range(data.draw(st.integers(1, 8))):
        image[data.draw(st.integers(0, len(image) - 1))] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(image[: data.draw(st.integers(len(image) // 2, len(image)))]))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return SIGNATURES[1] + header + b"".join(chunks) + chunk(b"IEND", b"")


def tiff(width: int, height: int) -> bytes:
    tags = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (279, 4, 9),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return struct.pack("<4sI", b"II*\0", 8) + struct.pack("<H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    "bomb",
    [
        png(100_000, 100_000, chunk(b"IDAT", zlib.compress(bytes(1000)))),
        png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", b"")),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2\0\0;",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\x3f\0\xff\x3f\0",
        tiff(2**31 - 1, 2**31 - 1),
        b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 65500, 65500) + b"\3\1\x22\0\2\x11\0\3\x11\0\xff\xd9",
    ],
    ids=["png", "png-max", "gif", "bmp", "webp", "tiff", "jpeg"],
)  # fmt: skip
def test_a_huge_canvas_in_few_bytes_is_refused_from_its_header(bomb):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (inspect, decode):
        with pytest.raises((ImageTooLarge, BrokenImage)):
            read(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_a_compressed_bomb_in_a_png_chunk_is_refused_or_left_alone(kind):
    packed = zlib.compress(bytes(200 * 2**20), 9)
    body = b"name\0\1\0\0\0" + packed if kind == b"iTXt" else b"name\0\0" + packed
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + bytes(30)) * 10))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode_or_refuse(png(10, 10, chunk(kind, body), pixels))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_tiff_with_a_tag_of_four_billion_values_is_refused():
    silly = struct.pack("<4sIH", b"II*\0", 8, 1) + struct.pack("<HHII", 256, 4, 2**32 - 1, 8) + bytes(4)
    with pytest.raises(ImageError):
        inspect(silly)


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_signature_alone_is_refused(image_format):
    data = encoded(quadrants(), image_format)[:12]
    with pytest.raises(ImageError):
        inspect(data)


def test_a_gif_that_is_a_script_is_refused():
    with pytest.raises(ImageError):
        decode(b"GIF89a=1;alert(document.cookie)//")
