"""TIFF files of any layout, written by hand, so that each choice is made apart from all others."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from loadtests.hardening.tiff_directory import with_directory

NO_COMPRESSION, FAX_2, FAX_3, FAX_4, LZW, DEFLATE, OLD_DEFLATE = 1, 2, 3, 4, 5, 8, 32946
PACKBITS, LZMA, ZSTD = 32773, 34925, 50000
_FAX = {FAX_2: "tiff_ccitt", FAX_3: "group3", FAX_4: "group4"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS = 0, 1, 2, 3, 5
_ENCODERS = {
    LZW: imagecodecs.lzw_encode,
    DEFLATE: imagecodecs.zlib_encode,
    OLD_DEFLATE: imagecodecs.zlib_encode,
    LZMA: imagecodecs.lzma_encode,
    ZSTD: imagecodecs.zstd_encode,
}


@dataclass(frozen=True)
class TiffKind:
    """How pixels are stored; names as in TIFF 6.0."""

    photometric: int = RGB
    bits: int = 8
    order: str = "<"
    big: bool = False
    planar: bool = False
    rows_per_strip: int | None = None
    tile: tuple[int, int] | None = None
    compression: int = NO_COMPRESSION
    predictor: int = 1
    reversed_bits: bool = False
    extra: tuple[int, ...] = ()
    orientation: int = 1


def tiff_file(samples: NDArray[Any], kind: TiffKind, tags: Mapping[int, tuple[int, ...]] | None = None) -> bytes:
    """Writes a TIFF.

    Args:
        samples: (H, W, samples of a pixel).
        kind: How to store them.
        tags: More tags, of short numbers.
    """
    height, width, count = samples.shape
    tile = kind.tile
    blocks = [_compressed(block, kind) for block in _blocks(samples, kind)]
    sample_format = {"u": 1, "b": 1, "i": 2, "f": 3}[samples.dtype.kind]
    values: dict[int, tuple[int, ...]] = {
        256: (width,), 257: (height,), 258: (kind.bits,) * count, 259: (kind.compression,), 262: (kind.photometric,),
        266: (2 if kind.reversed_bits else 1,), 274: (kind.orientation,), 277: (count,),
        284: (2 if kind.planar else 1,), 317: (kind.predictor,), 339: (sample_format,) * count, **(tags or {}),
    }  # fmt: skip
    values |= {322: (tile[1],), 323: (tile[0],)} if tile else {278: (kind.rows_per_strip or height,)}
    values |= {338: kind.extra} if kind.extra else {}
    return with_directory(values, blocks, order=kind.order, big=kind.big, tiled=tile is not None)


def packed_rows(rows: NDArray[Any], bits: int, order: str) -> bytes:
    """Packs (rows, samples), each row from a new byte on."""
    if bits in (8, 16, 32, 64):
        return rows.astype(f"{order}{rows.dtype.str[1:]}").tobytes()
    shifts = np.arange(bits - 1, -1, -1)
    apart = (rows.astype(np.uint32)[..., np.newaxis] >> shifts & 1).astype(np.uint8)
    return np.packbits(apart.reshape(len(rows), -1), axis=1).tobytes()


def _blocks(samples: NDArray[Any], kind: TiffKind) -> Iterator[NDArray[Any]]:
    """Yields (rows, columns, samples), plane after plane."""
    height, width, count = samples.shape
    for plane in [samples[..., index : index + 1] for index in range(count)] if kind.planar else [samples]:
        if kind.tile is None:
            step = kind.rows_per_strip or height
            yield from (plane[first : first + step] for first in range(0, height, step))
        else:
            down, across = kind.tile
            padded = np.pad(plane, ((0, -height % down), (0, -width % across), (0, 0)))
            for row in range(0, height, down):
                yield from (padded[row : row + down, first : first + across] for first in range(0, width, across))


def _compressed(block: NDArray[Any], kind: TiffKind) -> bytes:
    rows = block.reshape(len(block), -1)
    if kind.predictor == 2:
        apart = np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
        rows = apart.astype(block.dtype).reshape(len(block), -1)
    if kind.predictor == 3:
        data = imagecodecs.floatpred_encode(block.astype(f"{kind.order}{block.dtype.str[1:]}"), axis=1).tobytes()
    else:
        data = packed_rows(rows, kind.bits, kind.order)
    if kind.compression == PACKBITS:
        size = len(data) // len(block)
        data = b"".join(imagecodecs.packbits_encode(data[at : at + size]) for at in range(0, len(data), size))
    elif kind.compression in _FAX:
        data = _fax(rows, kind.compression)
    elif kind.compression != NO_COMPRESSION:
        data = bytes(_ENCODERS[kind.compression](data))
    return data.translate(_REVERSED) if kind.reversed_bits else data


def _fax(rows: NDArray[Any], compression: int) -> bytes:
    """Compresses (rows, columns) of bits by Pillow, in which 1 is white."""
    file = BytesIO()
    image = Image.fromarray(rows.astype(np.uint8) * 255).convert("1", dither=Image.Dither.NONE)
    image.save(file, "TIFF", compression=_FAX[compression], tiffinfo={278: len(rows)})
    with tifffile.TiffFile(BytesIO(file.getvalue())) as tiff:
        page = tiff.pages.first
        (place,), (size,) = page.dataoffsets, page.databytecounts
        assert page.tags[262].value == BLACK_IS_ZERO
    return file.getvalue()[place : place + size]


_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
