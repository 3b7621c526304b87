"""Letterbox preprocessing: resizes and pads images to a network's input, and maps boxes back."""

# pyright: reportMissingTypeStubs=false

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize_image

from models.entries import LetterboxPreprocessing

_MOST_TAPS: Final = 32
"""A side that shrinks more than this many times is first subsampled to so many times its final length: the weights of
an antialiased resize take memory in proportion to the longer length, 800 MB for a strip of 50,000,000 pixels."""


@dataclass(frozen=True)
class Letterbox:
    """Placement of an image in a network's input: resized, at the top left, padded at the right and the bottom.

    Sizes are (height, width) in pixels.

    Attributes:
        image_size: Of the upright original.
        resized_size: Of the image within the input. Each side is rounded down, so that the two scales differ a little.
        input_size: Of the input.
        pad: Grey level of the padding, 0 to 255.
        antialias: Whether downscaling is antialiased.
    """

    image_size: tuple[int, int]
    resized_size: tuple[int, int]
    input_size: tuple[int, int]
    pad: int = 114
    antialias: bool = True

    @classmethod
    def fit(
        cls,
        image_size: tuple[int, int],
        preprocessing: LetterboxPreprocessing,
        square: bool = False,
        scale: float = 1.0,
    ) -> "Letterbox":
        """Computes the letterbox of an image.

        Args:
            image_size: (height, width) of the upright original in pixels, at least 1 each.
            preprocessing: The model's.
            square: Pads all the way to a square instead of to the next multiple of the stride.
            scale: Multiplies each side of the resized image; above 0.

        Returns:
            The letterbox.
        """
        height, width = _resized_size(image_size, preprocessing)
        resized = max(1, int(height * scale)), max(1, int(width * scale))
        stride = preprocessing.stride
        side = int(preprocessing.long_side * scale)
        sides = (side, side) if square else resized
        height, width = (-(-side // stride) * stride for side in sides)
        return cls(image_size, resized, (height, width), preprocessing.pad, preprocessing.antialias)

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per original pixel, (vertically, horizontally)."""
        return self.resized_size[0] / self.image_size[0], self.resized_size[1] / self.image_size[1]

    def place(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resizes an image and pads it.

        The resize is torch's bilinear one on bytes.

        Args:
            pixels: (H, W, 3) uint8 RGB: the image, at its original size or decoded at a smaller scale.

        Returns:
            (*input_size, 3) uint8 RGB, C-contiguous.
        """
        image = torch.as_tensor(_thinned(pixels, self.resized_size)).permute(2, 0, 1)
        if image.shape[1:] != self.resized_size:
            image = resize_image(image, list(self.resized_size), InterpolationMode.BILINEAR, antialias=self.antialias)
        placed = np.full((*self.input_size, 3), self.pad, np.uint8)
        height, width = self.resized_size
        placed[:height, :width] = image.permute(1, 2, 0).numpy()
        return placed

    def project(self, boxes: Tensor) -> Tensor:
        """Maps boxes from the original image to the input.

        Args:
            boxes: (N, 4) x_min, y_min, x_max, y_max in pixels of the original.

        Returns:
            (N, 4) float32, in pixels of the input.
        """
        return (boxes.double() * self._box_scale()).float()

    def restore(self, boxes: Tensor) -> Tensor:
        """Maps boxes from the input back to the original image: the inverse of `project` for boxes within the image.

        Args:
            boxes: (N, 4) x_min, y_min, x_max, y_max in pixels of the input, finite.

        Returns:
            (N, 4) float32 in pixels of the original, clipped to it, and never inverted. Boxes outside, or inverted
            ones, have no area.
        """
        height, width = self.image_size
        restored = boxes.double() / self._box_scale()
        restored[:, 0::2].clamp_(0, width)
        restored[:, 1::2].clamp_(0, height)
        restored[:, 2:] = torch.maximum(restored[:, :2], restored[:, 2:])
        return restored.float()

    def _box_scale(self) -> Tensor:
        vertical, horizontal = self.scale
        return torch.tensor([horizontal, vertical, horizontal, vertical], dtype=torch.float64)


def _resized_size(image_size: tuple[int, int], preprocessing: LetterboxPreprocessing) -> tuple[int, int]:
    """Sides are rounded down, as YOLOX and torchvision do; none becomes 0."""
    if not preprocessing.keep_aspect:
        return preprocessing.long_side, preprocessing.long_side
    height, width = image_size
    short, long = min(image_size), max(image_size)
    if not preprocessing.enlarge and short <= preprocessing.short_side and long <= preprocessing.long_side:
        return image_size
    # Which of the two limits binds is decided, and the division is done, in whole numbers: rounding a product of
    # floats down would take a pixel from a side that fits exactly.
    if preprocessing.short_side * long <= preprocessing.long_side * short:
        numerator, denominator = preprocessing.short_side, short
    else:
        numerator, denominator = preprocessing.long_side, long
    return max(1, height * numerator // denominator), max(1, width * numerator // denominator)


def _thinned(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Subsamples every n-th row and column of a very large image."""
    rows, columns = (max(1, side // (_MOST_TAPS * final)) for side, final in zip(pixels.shape[:2], size, strict=True))
    return pixels[::rows, ::columns]
