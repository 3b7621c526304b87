"""Images whose headers are made to keep a reader busy: each is a few bytes of an image, padded to a size.

`hostile_images(size_bytes)` makes one of each kind; whatever reads images must be done with every one of them soon.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np
from PIL import Image

from loadtests.hardening.tiff_directory import with_directory


def hostile_images(size_bytes: int) -> dict[str, bytes]:
    """Makes an image of every kind.

    Args:
        size_bytes: About how large each becomes.

    Returns:
        The encoded images, by the name of what is wrong with them.
    """
    return {name: make(size_bytes) for name, make in KINDS.items()}


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Writes a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _filled(head: bytes, part: bytes, tail: bytes, size_bytes: int) -> bytes:
    """Puts as many copies of a part between head and tail as make the size."""
    return head + part * max((size_bytes - len(head) - len(tail)) // len(part), 1) + tail


def _picture(image_format: str, **options: object) -> bytes:
    pixels = np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3) % 251
    file = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, image_format, **options)
    return file.getvalue()


def _png(part: bytes, *, behind_pixels: bool = False) -> Callable[[int], bytes]:
    """PNGs with many copies of a chunk before their pixels, or behind them."""

    def make(size_bytes: int) -> bytes:
        whole = _picture("PNG")
        at = len(whole) - 12 if behind_pixels else 33
        return _filled(whole[:at], part, whole[at:], size_bytes)

    return make


def _packed_chunk(kind: bytes, lead: bytes) -> bytes:
    """A chunk of which every byte inflates to a thousand."""
    return png_chunk(kind, lead + zlib.compress(bytes(4 * 2**20), 9))


def _one_bit_pixels(size_bytes: int) -> bytes:
    """A PNG whose pixels lie in chunks of one byte."""
    whole = _picture("PNG")
    length = struct.unpack_from(">I", whole, 33)[0]
    pixels = whole[41 : 41 + length]
    tiny = b"".join(png_chunk(b"IDAT", pixels[at : at + 1]) for at in range(len(pixels)))
    empty = png_chunk(b"IDAT", b"")
    return _filled(whole[:33], empty, tiny + whole[-12:], size_bytes)


def _jpeg(part: bytes) -> Callable[[int], bytes]:
    """JPEGs with many copies of some bytes behind their first marker."""

    def make(size_bytes: int) -> bytes:
        whole = _picture("JPEG")
        return _filled(whole[:2], part, whole[2:], size_bytes)

    return make


def _jpeg_tables(marker: int) -> Callable[[int], bytes]:
    """JPEGs with many copies of their own tables: one segment, or as many in a segment as it holds."""

    def make(size_bytes: int) -> bytes:
        whole = _picture("JPEG")
        at = whole.index(bytes((0xFF, marker)))
        length = int.from_bytes(whole[at + 2 : at + 4], "big")
        body = whole[at + 4 : at + 2 + length] * ((2**16 - 3) // (length - 2))
        return _jpeg(bytes((0xFF, marker)) + struct.pack(">H", 2 + len(body)) + body)(size_bytes)

    return make


def jpeg_scans(size_bytes: int, side: int = 6000) -> bytes:
    """A progressive JPEG whose last scan, of few bytes, comes again and again: each is a pass over all pixels."""
    file = BytesIO()
    Image.new("L", (side, side), 128).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    at = whole.rindex(b"\xff\xda")
    tables = whole.rfind(b"\xff\xc4", 0, at)
    return _filled(whole[:-2], whole[tables:-2], whole[-2:], min(size_bytes, len(whole) + 2**20))


def _gif(part: bytes) -> Callable[[int], bytes]:
    """GIFs with many copies of a block before their first frame."""

    def make(size_bytes: int) -> bytes:
        whole = _picture("GIF")
        at = 13 + 3 * 256
        return _filled(whole[:at], part, whole[at:], size_bytes)

    return make


def _gif_blocks(size_bytes: int) -> bytes:
    """A GIF with one comment in blocks of one byte."""
    whole = _picture("GIF")
    at = 13 + 3 * 256
    return _filled(whole[:at] + b"!\xfe", b"\x01x", b"\0" + whole[at:], size_bytes)


def _gif_frames(size_bytes: int) -> bytes:
    """A GIF of very many frames."""
    whole = _picture("GIF")
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return _filled(whole[:-1], frame, b";", size_bytes)


def _webp(part: bytes, *, lossless: bool = True) -> Callable[[int], bytes]:
    """WebPs with many copies of a chunk before their pixels."""

    def make(size_bytes: int) -> bytes:
        pixels = _picture("WEBP", lossless=lossless)[12:]
        extended = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\x3f\0\0\x3f\0\0"
        content = _filled(b"WEBP" + extended, part, pixels, size_bytes - 8)
        return b"RIFF" + struct.pack("<I", len(content)) + content

    return make


def _webp_frames(size_bytes: int) -> bytes:
    """A WebP of very many frames."""
    file = BytesIO()
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (0, 255)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    whole = file.getvalue()
    frame = whole[whole.rindex(b"ANMF") :]
    content = _filled(whole[8:], frame, b"", size_bytes - 8)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def _tiff(tags: Mapping[int, tuple[int, ...] | bytes], blocks: list[bytes]) -> bytes:
    plain = {256: (64,), 257: (64,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (64,)}
    return with_directory({**plain, **tags}, blocks)


def _tiff_strips(size_bytes: int) -> bytes:
    """A TIFF with far more strips than rows."""
    return _tiff({278: (1,)}, [bytes(64)] * 64 + [b""] * (size_bytes // 8))


def _tiff_rows(size_bytes: int) -> bytes:
    """A TIFF of strips of one row, more than an image of common shape has."""
    return _tiff({256: (1,), 257: (size_bytes // 12,), 278: (1,)}, [b"x"] * (size_bytes // 12))


def _tiff_overlap(size_bytes: int) -> bytes:
    """A TIFF whose compressed strips are all the same bytes: nearly all of the file."""
    packed = zlib.compress(bytes(64)) + bytes(size_bytes)
    one = bytearray(_tiff({257: (4096,), 259: (8,), 278: (1,)}, [packed] + [b""] * 4095))
    directory = struct.unpack_from("<I", one, 4)[0]
    for entry in range(directory + 2, directory + 2 + 12 * 9, 12):
        tag, _, count, place = struct.unpack_from("<HHII", one, entry)
        if tag in (273, 279):
            value = 8 if tag == 273 else len(packed)
            one[place : place + 4 * count] = struct.pack("<I", value) * count
    return bytes(one)


def _tiff_tag(size_bytes: int) -> bytes:
    """A TIFF with a tag of very many values that no decoder needs."""
    return _tiff({700: (1,) * (size_bytes // 2)}, [bytes(64 * 64)])


def _tiff_description(size_bytes: int) -> bytes:
    """A TIFF with a very long text."""
    return _tiff({270: b"x" * size_bytes}, [bytes(64 * 64)])


def _tiff_directories(size_bytes: int) -> bytes:
    """A TIFF with very many directories, of which the last leads to the first."""
    whole = _tiff({}, [bytes(64 * 64)])
    return whole + bytes(size_bytes - len(whole))


def _big_tiff_tags(size_bytes: int) -> bytes:
    """A BigTIFF with as many tags as there is room for."""
    count = size_bytes // 20
    return struct.pack("<4sHHQQ", b"II+\0", 8, 0, 16, count) + struct.pack("<HHQQ", 270, 2, 1, 0) * count


def _bmp_runs(size_bytes: int) -> bytes:
    """A BMP of run lengths that move by nothing, again and again."""
    header = struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 8, 1, 0, 0, 0, 0, 0) + bytes(1024)
    return _filled(b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(header)) + header, b"\0\2\0\0", b"\0\1", size_bytes)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def _boxes(head: bytes, part: bytes) -> Callable[[int], bytes]:
    return lambda size_bytes: _filled(head, part, b"", size_bytes)


def _avif_properties(size_bytes: int) -> bytes:
    """An AVIF with very many properties."""
    properties = _box(b"free", b"") * (size_bytes // 8)
    meta = _box(b"pitm", bytes(4) + b"\0\1") + _box(b"iprp", _box(b"ipco", properties))
    return _box(b"ftyp", b"avif\0\0\0\0avif") + _box(b"meta", bytes(4) + meta)


def jpeg2000_tiles(size_bytes: int) -> bytes:
    """A JPEG 2000 codestream of tiles of one pixel."""
    size = struct.pack(">HIIIIIIIIHBBB", 0, 7000, 7000, 0, 0, 1, 1, 0, 0, 1, 7, 1, 1)
    head = b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(size)) + size
    return head + b"\xff\x90\0\x0a" + bytes(max(size_bytes - len(head), 0))


def _jpeg2000_blocks(*, in_tile: bool) -> Callable[[int], bytes]:
    """JPEG 2000 codestreams of one tile, of which every precinct is one pixel."""
    size = struct.pack(">HIIIIIIIIHBBB", 0, 7000, 7000, 0, 0, 7000, 7000, 0, 0, 1, 7, 1, 1)
    usual = b"\xff\x52\0\x0c\0\0\0\1\0\0\4\4\0\1"
    tiny = b"\xff\x52\0\x0d\1\0\0\1\0\0\4\4\0\1\0"
    quantization = b"\xff\x5c\0\4\x40\x40"
    tile = b"\xff\x90\0\x0a\0\0\0\0\0\0\0\1" + (tiny if in_tile else b"") + b"\xff\x93"
    head = b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(size)) + size + (usual if in_tile else tiny)
    return _boxes(head + quantization + tile, b"\0")


def _comments(head: bytes) -> Callable[[int], bytes]:
    size = struct.pack(">HIIIIIIIIHBBB", 0, 64, 64, 0, 0, 64, 64, 0, 0, 1, 7, 1, 1)
    return _boxes(b"\xff\x4f\xff\x51" + struct.pack(">H", 2 + len(size)) + size, head)


KINDS: Mapping[str, Callable[[int], bytes]] = {
    "png: profiles": _png(_packed_chunk(b"iCCP", b"p\0\0")),
    "png: packed texts": _png(_packed_chunk(b"zTXt", b"t\0\0")),
    "png: packed international texts": _png(_packed_chunk(b"iTXt", b"t\0\1\0\0\0")),
    "png: texts": _png(png_chunk(b"tEXt", b"k\0" + b"v" * 100)),
    "png: empty texts": _png(png_chunk(b"tEXt", b"")),
    "png: unknown chunks": _png(png_chunk(b"abCd", b"")),
    "png: unknown chunks behind the pixels": _png(png_chunk(b"abCd", b""), behind_pixels=True),
    "png: EXIF blocks": _png(png_chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(2000))),
    "png: one profile": lambda size_bytes: _png(png_chunk(b"iCCP", b"p\0\0" + bytes(size_bytes)))(0),
    "png: pixels in empty chunks": _one_bit_pixels,
    "jpeg: fill bytes": _jpeg(b"\xff"),
    "jpeg: stray bytes": _jpeg(b"x"),
    "jpeg: stuffed bytes": _jpeg(b"\xff\0"),
    "jpeg: restart markers": _jpeg(b"\xff\xd0"),
    "jpeg: empty comments": _jpeg(b"\xff\xfe\0\2"),
    "jpeg: long comments": _jpeg(b"\xff\xfe\xff\xff" + bytes(65533)),
    "jpeg: empty profiles": _jpeg(b"\xff\xe2\0\2"),
    "jpeg: profiles": _jpeg(b"\xff\xe2\0\x20ICC_PROFILE\0\1\xff" + bytes(16)),
    "jpeg: Photoshop blocks": _jpeg(b"\xff\xed\xff\xffPhotoshop 3.0\x008BIM" + bytes(65533 - 18)),
    "jpeg: EXIF blocks": _jpeg(b"\xff\xe1\xff\xffExif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(65533 - 16)),
    "jpeg: quantization tables": _jpeg_tables(0xDB),
    "jpeg: Huffman tables": _jpeg_tables(0xC4),
    "jpeg: scans": jpeg_scans,
    "gif: empty comments": _gif(b"!\xfe\0"),
    "gif: comments": _gif(b"!\xfe\x01x\0"),
    "gif: a comment of tiny blocks": _gif_blocks,
    "gif: control blocks": _gif(b"!\xf9\4\0\0\0\0\0"),
    "gif: padding": _gif(b"\0"),
    "gif: frames": _gif_frames,
    "webp: empty chunks": _webp(b"abcd\0\0\0\0"),
    "webp: profiles": _webp(b"ICCP" + struct.pack("<I", 1000) + bytes(1000)),
    "webp: EXIF blocks": _webp(b"EXIF" + struct.pack("<I", 1000) + b"II*\0\x08\0\0\0\xff\xff" + bytes(990)),
    "webp: frames": _webp_frames,
    "tiff: strips": _tiff_strips,
    "tiff: strips of one pixel": _tiff_rows,
    "tiff: overlapping strips": _tiff_overlap,
    "tiff: a tag of many values": _tiff_tag,
    "tiff: a long text": _tiff_description,
    "tiff: padding": _tiff_directories,
    "tiff: tags": _big_tiff_tags,
    "bmp: run lengths": _bmp_runs,
    "avif: boxes": _boxes(_box(b"ftyp", b"avif\0\0\0\0avif"), _box(b"free", b"")),
    "avif: properties": _avif_properties,
    "jpeg2000: boxes": _boxes(b"\0\0\0\x0cjP  \r\n\x87\n", _box(b"free", b"")),
    "jpeg2000: comments": _comments(b"\xff\x64\0\4\0\1"),
    "jpeg2000: tiles": jpeg2000_tiles,
    "jpeg2000: code blocks": _jpeg2000_blocks(in_tile=False),
    "jpeg2000: code blocks of a tile": _jpeg2000_blocks(in_tile=True),
}
