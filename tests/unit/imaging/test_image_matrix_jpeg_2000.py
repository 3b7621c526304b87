"""Every kind of JPEG 2000 of OpenJPEG gives the picture that was stored, or is refused by name."""

import struct

import imagecodecs
import numpy as np
import pytest

from models.errors import UnreadableImage
from models.imaging.decoding import decode, inspect
from tests.unit.imaging.matrix_pictures import HEIGHT, WIDTH, check, over_white, samples_of


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
