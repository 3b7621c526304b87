"""The pixel layout of a TIFF (TIFF 6.0); layouts that are not supported are refused, with the reason."""

from dataclasses import dataclass
from typing import Final

from models.errors import BrokenImage, ImageTooLarge, UnreadableImage
from models.imaging.tiff_directory import Directory

NO_COMPRESSION, JPEG = 1, 7
FAX: Final = frozenset({2, 3, 4})
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR = 0, 1, 2, 3, 5, 6
NO_PREDICTOR, HORIZONTAL, FLOATING = 1, 2, 3
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
ASSOCIATED, UNASSOCIATED = 1, 2

_COMPRESSIONS: Final = frozenset({NO_COMPRESSION, *FAX, 5, JPEG, 8, 32773, 32946, 34925, 50000})
_COMPRESSION_NAMES: Final = {
    6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 34661: "JBIG", 34676: "LogLuv", 34677: "LogLuv", 34712: "JPEG 2000",
    33003: "JPEG 2000", 33005: "JPEG 2000", 34887: "LERC", 34933: "PNG", 34934: "JPEG XR", 22610: "JPEG XR",
    50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL", 32809: "ThunderScan", 32766: "NeXT", 34713: "NEF",
}  # fmt: skip
_PHOTOMETRIC_NAMES: Final = {
    4: "transparency mask", 8: "LAB", 9: "ICC LAB", 10: "ITU LAB", 32803: "raw camera (CFA)",
    34892: "raw camera (linear)", 32844: "LogL", 32845: "LogLuv", 51177: "depth map",
}  # fmt: skip
_COLOUR_SAMPLES: Final = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, YCBCR: 3}
_DEPTHS: Final = {UNSIGNED: (1, 2, 4, 8, 12, 16, 32, 64), SIGNED: (8, 16, 32, 64), FLOAT: (16, 32, 64)}
_MAX_SAMPLES: Final = 32
_MAX_RAW_BYTES: Final = 16 * 2**25
"""Of all samples together, 512 MiB: 64 million pixels of 16-bit RGBA."""


@dataclass(frozen=True)
class Layout:
    """How the pixels are stored.

    Attributes:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        samples: Samples per pixel.
        bits: Bits per sample.
        sample_format: `UNSIGNED`, `SIGNED` or `FLOAT`.
        planar: Whether each sample is stored in a plane of its own.
        photometric: Photometric interpretation, such as `RGB`.
        alpha: Index of the alpha sample; None where there is none.
        premultiplied: Whether colours are multiplied by alpha ("associated").
        compression: Value of the compression tag.
        predictor: Predictor of the compression.
        reversed_bits: Whether the first pixel is in the lowest bit of a byte (fill order 2).
        tiled: Whether blocks are tiles, which all have the same size, or strips, of which the last may be shorter.
        block_height: Rows per tile or strip.
        block_width: Columns per tile or strip.
    """

    height: int
    width: int
    samples: int
    bits: int
    sample_format: int
    planar: bool
    photometric: int
    alpha: int | None
    premultiplied: bool
    compression: int
    predictor: int
    reversed_bits: bool
    tiled: bool
    block_height: int
    block_width: int

    @property
    def colours(self) -> int:
        """Colour samples per pixel."""
        return _COLOUR_SAMPLES[self.photometric]

    @property
    def planes(self) -> int:
        """Number of planes: one for each sample, or one for all."""
        return self.samples if self.planar else 1

    @property
    def plane_samples(self) -> int:
        """Samples per pixel in one plane."""
        return 1 if self.planar else self.samples

    @property
    def row_bytes(self) -> int:
        """Bytes per row of a block."""
        return (self.block_width * self.plane_samples * self.bits + 7) // 8

    @property
    def blocks_across(self) -> int:
        """Blocks per row of blocks in a plane."""
        return -(-self.width // self.block_width)

    @property
    def blocks_down(self) -> int:
        """Rows of blocks in a plane."""
        return -(-self.height // self.block_height)


def read_layout(directory: Directory) -> Layout:
    """Reads the layout of the pixels.

    Args:
        directory: First directory of the TIFF.

    Raises:
        BrokenImage: The tags contradict one another.
        UnreadableImage: The layout is not supported.
        ImageTooLarge: Samples take too much memory.
    """
    height, width = directory.value(257, 0), directory.value(256, 0)
    samples = directory.value(277, 1)
    if height <= 0 or width <= 0 or samples <= 0:
        raise BrokenImage("the TIFF header is truncated or corrupt")
    bits, sample_format = _common(directory, 258, 1, samples), _common(directory, 339, UNSIGNED, samples)
    compression = directory.value(259, NO_COMPRESSION)
    photometric = directory.value(262, WHITE_IS_ZERO if compression in FAX else BLACK_IS_ZERO)
    tiled = 322 in directory.entries or 324 in directory.entries
    alpha, premultiplied = _alpha(directory, samples)
    layout = Layout(
        height=height,
        width=width,
        samples=samples,
        bits=bits,
        sample_format=UNSIGNED if sample_format == 4 else sample_format,
        planar=directory.value(284, 1) == 2 and samples > 1,
        photometric=photometric,
        alpha=alpha,
        premultiplied=premultiplied,
        compression=compression,
        predictor=directory.value(317, NO_PREDICTOR) if compression in (5, 8, 32946, 34925, 50000) else NO_PREDICTOR,
        reversed_bits=directory.value(266, 1) == 2,
        tiled=tiled,
        block_height=directory.value(323, 0) if tiled else min(directory.value(278, height) or height, height),
        block_width=directory.value(322, 0) if tiled else width,
    )
    if layout.block_height <= 0 or layout.block_width <= 0:
        raise BrokenImage("the TIFF header is truncated or corrupt")
    _check_read(layout, directory)
    return layout


def _common(directory: Directory, tag: int, default: int, samples: int) -> int:
    """Reads a tag that has a value for every sample, which all must be the same."""
    if samples > _MAX_SAMPLES:
        raise UnreadableImage(f"TIFFs of {samples} samples per pixel cannot be read")
    values = directory.values(tag, (default,))[:samples]
    if len(set(values)) > 1:
        raise UnreadableImage("TIFFs whose samples are of unequal types cannot be read")
    return values[0]


def _alpha(directory: Directory, samples: int) -> tuple[int | None, bool]:
    extra = directory.values(338)
    for index, kind in enumerate(extra):
        if kind in (ASSOCIATED, UNASSOCIATED) and len(extra) < samples:
            return samples - len(extra) + index, kind == ASSOCIATED
    return None, False


def _check_read(layout: Layout, directory: Directory) -> None:
    compression, photometric, bits = layout.compression, layout.photometric, layout.bits
    if compression not in _COMPRESSIONS:
        name = _COMPRESSION_NAMES.get(compression, f"unknown ({compression})")
        raise UnreadableImage(f"TIFFs of compression {name} cannot be read")
    if photometric not in _COLOUR_SAMPLES:
        raise UnreadableImage(f"TIFFs of colours {_PHOTOMETRIC_NAMES.get(photometric, photometric)} cannot be read")
    if layout.samples < layout.colours or (layout.alpha is not None and layout.alpha < layout.colours):
        raise BrokenImage("the TIFF header is truncated or corrupt")
    if bits not in _DEPTHS.get(layout.sample_format, ()):
        raise UnreadableImage(
            f"TIFFs of {bits} bits per sample and sample format {layout.sample_format} cannot be read"
        )
    if photometric == INKS and (directory.value(332, 1) != 1 or layout.sample_format != UNSIGNED):
        raise UnreadableImage("TIFFs of inks other than CMYK cannot be read")
    if photometric == PALETTE and (layout.sample_format != UNSIGNED or bits > 16):
        raise UnreadableImage(f"TIFFs with a palette of {bits} bits cannot be read")
    if compression in FAX and (bits, layout.samples) != (1, 1):
        raise UnreadableImage("TIFFs of fax compression and more than one bit per pixel cannot be read")
    if compression == JPEG:
        _check_jpeg(layout)
    elif photometric == YCBCR:
        raise UnreadableImage("TIFFs of YCbCr colours without JPEG compression cannot be read")
    if layout.predictor != NO_PREDICTOR:
        _check_predictor(layout)
    blocks = layout.blocks_across * layout.blocks_down * layout.planes
    row_bytes = layout.block_width if compression in FAX else layout.row_bytes  # Pillow unpacks bits to bytes
    if blocks * layout.block_height * row_bytes > _MAX_RAW_BYTES:
        raise ImageTooLarge("the samples of the TIFF take too much memory", {"max_sample_bytes": _MAX_RAW_BYTES})


def _check_jpeg(layout: Layout) -> None:
    known = (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR)
    right = layout.bits == 8 and layout.sample_format == UNSIGNED and not layout.planar
    if not right or layout.photometric not in known or layout.samples != layout.colours:
        raise UnreadableImage("TIFFs of JPEG compression that are not 8 bits of grey, RGB or YCbCr cannot be read")


def _check_predictor(layout: Layout) -> None:
    fits = {
        HORIZONTAL: layout.bits in (8, 16, 32, 64) and layout.sample_format != FLOAT,
        FLOATING: layout.sample_format == FLOAT,
    }
    if not fits.get(layout.predictor, False):
        raise UnreadableImage(f"TIFFs of predictor {layout.predictor} and {layout.bits} bits cannot be read")
