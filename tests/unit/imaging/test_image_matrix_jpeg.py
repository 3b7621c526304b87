"""Every kind of JPEG gives the picture that was stored; libjpeg-turbo, by imagecodecs, reads the same from it."""

import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from models.errors import BrokenImage, UnreadableImage
from models.imaging import jpeg
from models.imaging.decoding import decode, inspect
from tests.photos import encoded, photo
from tests.unit.jpeg_files import sampled_jpeg, scaled_planes

SIZE = (96, 64)
FACTORS = [
    ((2, 1), (2, 1), (2, 1)), ((3, 1), (1, 1), (1, 1)), ((1, 2), (1, 1), (1, 2)), ((4, 2), (1, 1), (1, 1)),
    ((2, 2), (1, 1), (2, 1)), ((1, 1), (2, 2), (2, 2)), ((1, 4), (1, 1), (1, 1)), ((2, 2), (2, 1), (2, 1)),
    ((2, 2), (1, 2), (2, 1)), ((4, 4), (1, 1), (1, 1)), ((1, 1), (1, 2), (1, 1)), ((4, 1), (2, 1), (2, 1)),
]  # fmt: skip


def picture() -> Image.Image:
    return photo("chelsea").resize(SIZE)


KINDS = {
    "baseline": encoded(picture(), "JPEG"),
    "full-chroma": encoded(picture(), "JPEG", subsampling=0, quality=95),
    "half-chroma": encoded(picture(), "JPEG", subsampling=1),
    "optimized": encoded(picture(), "JPEG", optimize=True),
    "restarts": encoded(picture(), "JPEG", restart_marker_blocks=3),
    "progressive": encoded(picture(), "JPEG", progressive=True),
    "progressive-restarts": encoded(picture(), "JPEG", progressive=True, restart_marker_rows=1),
    "grey": encoded(picture().convert("L"), "JPEG"),
    "progressive-grey": encoded(picture().convert("L"), "JPEG", progressive=True),
    "rgb": encoded(picture(), "JPEG", keep_rgb=True),
    "cmyk": encoded(picture().convert("CMYK"), "JPEG"),
    "three-scans": sampled_jpeg(picture(), ((2, 2), (1, 1), (1, 1))),
    "unusual": sampled_jpeg(picture(), ((3, 1), (1, 1), (1, 1))),
}


@pytest.fixture(params=["simplejpeg", "pillow"], autouse=True)
def jpeg_library(request, monkeypatch):
    if request.param == "pillow":
        monkeypatch.setattr(jpeg, "simplejpeg", None)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "cmyk"])
def test_every_kind_of_jpeg_looks_as_libjpeg_reads_it(kind):
    theirs = imagecodecs.jpeg8_decode(KINDS[kind], outcolorspace="rgb")
    pixels = decode(KINDS[kind]).pixels
    assert inspect(KINDS[kind]).size == pixels.shape[:2] == (64, 96)
    assert np.abs(pixels.astype(int) - theirs.reshape(64, 96, 3)).max() <= 1
    if "grey" not in kind:
        assert np.abs(pixels.astype(int) - np.asarray(picture())).mean() < 8


@pytest.mark.parametrize("factors", FACTORS, ids=str)
def test_every_sampling_of_a_jpeg_is_read(factors):
    data = sampled_jpeg(picture(), factors)
    decoded = decode(data)
    assert decoded.size == decoded.pixels.shape[:2] == (64, 96)
    assert np.abs(decoded.pixels.astype(int) - scaled_planes(picture(), factors)).mean() < 2.5
    scaled = decode(data, min_short_side=16)
    assert scaled.size == (64, 96)
    if factors[0] == (max(h for h, _ in factors), max(v for _, v in factors)):
        full = decoded.pixels.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
        assert scaled.pixels.shape == (16, 24, 3)
        assert np.abs(full - scaled.pixels).mean() < 3
    else:  # brightness of half the pixels would be blurred
        assert np.array_equal(scaled.pixels, decoded.pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [0, 1, 64, 5000])
@pytest.mark.parametrize("min_short_side", [None, 16])
def test_a_jpeg_that_lacks_only_its_end_marker_is_read(kind, padding, min_short_side):
    whole = KINDS[kind]
    pixels = decode(whole[:-2] + bytes(padding), min_short_side=min_short_side).pixels
    assert np.array_equal(pixels, decode(whole, min_short_side=min_short_side).pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padding", [b"\xff" * 50, b"padding" * 9], ids=["ones", "text"])
def test_a_jpeg_with_padding_in_place_of_its_end_marker_is_read(kind, padding):
    assert np.array_equal(decode(KINDS[kind][:-2] + padding).pixels, decode(KINDS[kind]).pixels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [0.05, 0.3, 0.5, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("padding", [0, 64])
def test_a_jpeg_that_lacks_data_is_broken(kind, kept, padding):
    whole = KINDS[kind]
    first = whole.index(b"\xff\xda")
    with pytest.raises(BrokenImage):
        decode(whole[: first + 20 + int((len(whole) - first - 20) * kept)] + bytes(padding))


@pytest.mark.parametrize("kind", ["progressive", "progressive-grey", "three-scans", "unusual"])
def test_a_jpeg_cut_between_two_scans_is_broken(kind):
    whole = KINDS[kind]
    scans = [at for at in range(len(whole)) if whole[at : at + 2] == b"\xff\xda"]
    assert len(scans) >= 3
    for at in scans[1:]:
        tables = whole.rfind(b"\xff\xc4", 0, at)
        for end in {at, tables} if tables > scans[0] else {at}:
            with pytest.raises(BrokenImage):
                decode(whole[:end])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behind", [b"PK\x03\x04" + bytes(100), b"\0" * 5000, b"\xff\xd8\xff\xe0" + bytes(50)])
def test_what_stands_behind_the_end_marker_is_not_read(kind, behind):
    assert np.array_equal(decode(KINDS[kind] + behind).pixels, decode(KINDS[kind]).pixels)


def test_the_first_picture_of_several_in_a_jpeg_is_taken():
    other = Image.new("RGB", SIZE, "blue")
    data = encoded(picture(), "MPO", save_all=True, append_images=[other], quality=95)
    assert np.abs(decode(data).pixels.astype(int) - np.asarray(picture())).mean() < 5


def test_components_named_r_g_b_are_rgb():
    data = bytearray(encoded(picture(), "JPEG", keep_rgb=True, quality=95))
    adobe = data.index(b"\xff\xee")
    del data[adobe : adobe + 2 + int.from_bytes(data[adobe + 2 : adobe + 4], "big")]
    assert b"JFIF" not in data
    assert np.abs(decode(bytes(data)).pixels.astype(int) - np.asarray(picture())).mean() < 5


@pytest.mark.parametrize("scale", [None, 16])
def test_cmyk_and_ycck_become_rgb_by_the_plain_formula(scale):
    inks = picture().convert("CMYK")
    data = encoded(inks, "JPEG", quality=100, subsampling=0)
    expected = np.asarray(inks.convert("RGB")).astype(int)
    decoded = decode(data, min_short_side=scale)
    assert decoded.size == (64, 96)
    if scale is None:
        assert np.abs(decoded.pixels - expected).mean() < 3
    theirs = 255 - imagecodecs.jpeg8_decode(data).astype(int)  # Adobe stores inks inverted
    plain = (255 - theirs[..., :3]) * (255 - theirs[..., 3:]) // 255
    assert scale is not None or np.abs(decoded.pixels - plain).max() <= 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (imagecodecs.jpeg8_encode(np.full((16, 16), 900, np.uint16), bitspersample=12), "12 bits"),
        (imagecodecs.jpeg8_encode(np.full((16, 16), 90, np.uint8), lossless=True), "lossless"),
        (KINDS["grey"].replace(b"\xff\xc0", b"\xff\xc5", 1), "hierarchical"),
        (KINDS["grey"].replace(struct.pack(">BHH", 8, 64, 96), struct.pack(">BHH", 8, 0, 96)), "height"),
    ],
    ids=["12-bit", "lossless", "hierarchical", "no-height"],
)
def test_a_jpeg_that_is_not_read_is_refused_by_name(data, message):
    for read in (inspect, decode):
        with pytest.raises(UnreadableImage, match=message):
            read(data)
