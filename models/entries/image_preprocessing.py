"""Preprocessing of models of images, as their catalog entries have it."""

from dataclasses import dataclass
from typing import Final, Literal

Interpolation = Literal["bilinear", "bicubic"]

_LARGEST_SIDE: Final = 8192
"""Of a network's input in pixels: memory grows with its square."""


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of a classifier: resize, centre crop and normalisation.

    Attributes:
        resize: The short side after the resize, in pixels.
        crop: The side of the centred square that is kept, in pixels.
        interpolation: Kernel of the resize; always antialiased.
        mean: Subtracted from R, G and B, on the scale 0 to 255.
        std: R, G and B are then divided by it, on the scale 0 to 255.

    Raises:
        ValueError: On construction, where a size is below 1, the crop is larger than the resize, or std is not above 0.
    """

    resize: int
    crop: int
    interpolation: Interpolation
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        if not 1 <= self.crop <= self.resize:
            raise ValueError(f"crop must be from 1 to resize ({self.resize}), not {self.crop}")
        _check_above_zero(self.std)

    @property
    def largest_size(self) -> tuple[int, int]:
        """(height, width) of the network's input in pixels."""
        return self.crop, self.crop

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) of every input of the network in pixels."""
        return self.largest_size


@dataclass(frozen=True)
class LetterboxPreprocessing:
    """Preprocessing of a detector or a segmenter: the whole image is resized, padded and normalised.

    The scale is min(short_side / short side of the image, long_side / long side of the image), which enlarges small
    images too. With `short_side == long_side` that fits the image into a square, as YOLOX does; with 800 and 1333 it
    is what torchvision's detectors do.

    Attributes:
        short_side: The most pixels that the short side has after the resize.
        long_side: The most pixels that the long side has after the resize; at least `short_side`.
        mean: Subtracted from R, G and B, on the scale 0 to 255.
        std: R, G and B are then divided by it, on the scale 0 to 255.
        stride: The resized image is padded at the right and the bottom to the next multiple of this; 1 pads nothing.
        pad: Grey level of the padding, 0 to 255.
        keep_aspect: Where false, the image is stretched to a square of `long_side` instead.
        antialias: Whether downscaling is antialiased; the published detectors were trained without.
        enlarge: Where false, smaller images are not upscaled.
        tile: An input with a side above this many pixels is cut into tiles of it, a multiple of `stride`; None where
            every input goes through the network as a whole.
        overlap: Pixels that neighbouring tiles share, a multiple of `stride` below half the tile.

    Raises:
        ValueError: On construction, where a size is below 1 or too large, or std is not above 0.
    """

    short_side: int
    long_side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int = 32
    pad: int = 114
    keep_aspect: bool = True
    antialias: bool = True
    enlarge: bool = True
    tile: int | None = None
    overlap: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.short_side <= self.long_side <= _LARGEST_SIDE:
            raise ValueError(
                f"short_side and long_side must be from 1 to {_LARGEST_SIDE} and the latter not the smaller one, "
                f"not {self.short_side} and {self.long_side}"
            )
        if not 1 <= self.stride <= self.long_side:
            raise ValueError(f"stride must be from 1 to long_side ({self.long_side}), not {self.stride}")
        if not 0 <= self.pad <= 255:
            raise ValueError(f"pad must be from 0 to 255, not {self.pad}")
        if self.tile is not None and not self.stride <= self.tile <= _LARGEST_SIDE:
            raise ValueError(f"tile must be from stride ({self.stride}) to {_LARGEST_SIDE}, not {self.tile}")
        if self.tile is not None and self.tile % self.stride:
            raise ValueError(f"tile must be a multiple of stride ({self.stride}), not {self.tile}")
        if self.overlap < 0 or self.overlap % self.stride or 2 * self.overlap >= (self.tile or 1 + 2 * self.overlap):
            raise ValueError(f"overlap must be a multiple of stride below half the tile, not {self.overlap}")
        _check_above_zero(self.std)

    @property
    def largest_size(self) -> tuple[int, int]:
        """(height, width) of the largest input of the network in pixels, that of a wide image."""
        if self.tile is not None and self.tile < self.long_side:
            return min(self.tile, _next_multiple(self.short_side, self.stride)), self.tile
        return _next_multiple(self.short_side, self.stride), _next_multiple(self.long_side, self.stride)

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) of every input of the network in pixels; None where it depends on the image."""
        if self.stride == (self.tile or self.long_side):
            return self.stride, self.stride
        if self.keep_aspect or self.tile is not None:
            return None
        side = _next_multiple(self.long_side, self.stride)
        return side, side


def _check_above_zero(std: tuple[float, ...]) -> None:
    if min(std) <= 0:
        raise ValueError(f"std must be above 0, not {std}")


def _next_multiple(number: int, step: int) -> int:
    return -(-number // step) * step
