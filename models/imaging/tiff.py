"""Decodes the first directory of a TIFF: grey, RGB, palettes, CMYK and JPEG's YCbCr, of any sample type (TIFF 6.0).

Samples are interpreted here and not by Pillow, which misreads 16-bit planes and does not invert deep samples where 0 is
white. `models.imaging.tiff_layout` refuses unsupported variants.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import BrokenImage
from models.imaging import pillow
from models.imaging.alpha import on_white
from models.imaging.header import StoredHeader
from models.imaging.orientation import UPRIGHT
from models.imaging.samples import Span, eight_bit
from models.imaging.tiff_blocks import Blocks, written
from models.imaging.tiff_directory import SIGNATURES, Directory, read_directory
from models.imaging.tiff_layout import (
    BLACK_IS_ZERO,
    INKS,
    JPEG,
    PALETTE,
    UNSIGNED,
    WHITE_IS_ZERO,
    Layout,
    read_layout,
)
from models.imaging.tiff_samples import samples_of

__all__ = ["SIGNATURES", "decode", "read_header"]

_ORIENTATION = 274
_COLOUR_MAP = 320
_JPEG_TABLES = 347
_SUBSAMPLING = 530


def read_header(data: bytes) -> StoredHeader:
    """Reads size and orientation, and checks that the layout of the pixels is supported.

    Args:
        data: The TIFF.

    Raises:
        BrokenImage: The header is truncated or corrupt.
        UnreadableImage: The layout of the pixels is not supported.
        ImageTooLarge: There are too many tags.
    """
    directory = read_directory(data)
    layout = read_layout(directory)
    orientation = directory.value(_ORIENTATION, UPRIGHT)
    return StoredHeader((layout.height, layout.width), orientation if 1 <= orientation <= 8 else UPRIGHT)


def decode(data: bytes, header: StoredHeader) -> NDArray[np.uint8]:
    """Decodes to RGB, without orientation; transparency is composited on white.

    Args:
        data: The TIFF.
        header: Its header.

    Returns:
        (H, W, 3) uint8 RGB, C-contiguous.

    Raises:
        BrokenImage: The data is truncated or corrupt.
    """
    directory = read_directory(data)
    layout = read_layout(directory)
    blocks = Blocks.of(directory, layout)
    if layout.compression == JPEG:
        return _decode_jpeg(directory, blocks)
    palette = _palette(directory, layout) if layout.photometric == PALETTE else None
    spans = _spans(blocks, directory.order) if layout.sample_format != UNSIGNED or layout.bits > 16 else None
    pixels = np.empty((*header.stored_size, 3), np.uint8)
    for band in blocks.bands():
        samples = samples_of(blocks, band, directory.order)
        first = band.start * layout.block_height
        pixels[first : first + len(samples)] = _rgb(samples, layout, palette, spans)
    return pixels


def _spans(blocks: Blocks, order: str) -> tuple[Span, Span]:
    """Computes the value ranges of colours and of alpha over the whole image."""
    colours, alpha = Span(), Span()
    layout = blocks.layout
    for band in blocks.bands():
        samples = samples_of(blocks, band, order)
        colours = colours.widened(samples[..., : layout.colours])
        if layout.alpha is not None:
            alpha = alpha.widened(samples[..., layout.alpha])
    return colours, alpha


def _rgb(
    samples: NDArray[Any], layout: Layout, palette: NDArray[np.uint8] | None, spans: tuple[Span, Span] | None
) -> NDArray[np.uint8]:
    """Converts (rows, W, samples) to (rows, W, 3) RGB."""
    if palette is not None:
        pixels = palette[samples[..., 0]]
    else:
        pixels = eight_bit(samples[..., : layout.colours], layout.bits, spans and spans[0])
    if layout.photometric == WHITE_IS_ZERO:
        pixels = 255 - pixels
    elif layout.photometric == INKS:
        pixels = np.asarray(Image.fromarray(np.ascontiguousarray(pixels), "CMYK").convert("RGB"))
    if layout.alpha is not None:
        alpha = eight_bit(samples[..., layout.alpha], layout.bits, spans and spans[1])
        pixels = on_white(pixels, alpha, premultiplied=layout.premultiplied)
    return pixels


def _palette(directory: Directory, layout: Layout) -> NDArray[np.uint8]:
    """Reads the colours, (2**bits, 3): 16 bits each, though some programs write 8 (as libtiff takes them)."""
    values = np.array(directory.values(_COLOUR_MAP), np.uint32)
    if values.size < 3 * 2**layout.bits:
        raise BrokenImage("the TIFF is truncated or corrupt")
    colours = values[: 3 * 2**layout.bits].reshape(3, -1).T
    return (colours if colours.max() < 256 else (colours + 128) // 257).astype(np.uint8)


def _decode_jpeg(directory: Directory, blocks: Blocks) -> NDArray[np.uint8]:
    """Decodes JPEG blocks with Pillow, from a TIFF with only the tags that they need."""
    layout = blocks.layout
    tags: dict[int, int | bytes | tuple[int, ...]] = {
        256: layout.width,
        257: layout.height,
        258: (8,) * layout.samples,
        259: JPEG,
        262: max(layout.photometric, BLACK_IS_ZERO),
        277: layout.samples,
        **({322: layout.block_width, 323: layout.block_height} if layout.tiled else {278: layout.block_height}),
        **{tag: directory.content(tag) for tag in (_JPEG_TABLES,) if tag in directory.entries},
        **{tag: directory.values(tag)[:2] for tag in (_SUBSAMPLING,) if tag in directory.entries},
    }
    file = written(tags, blocks.compressed(range(len(blocks.places))), tiled=layout.tiled)
    with pillow.opened(file, "tiff") as image:
        pixels = pillow.rgb(image)
    return 255 - pixels if layout.photometric == WHITE_IS_ZERO else pixels
