"""Data augmentation for classifiers: random resized crop, horizontal flip and colour jitter."""

# pyright: reportMissingTypeStubs=false

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resized_crop_image

from models.training.augmentation import Augmentation, colour_change
from models.training.photos import ImageReader

_TINY: Final = 64
"""Below this many pixels a side there is little to spare."""
_ATTEMPTS: Final = 10


@dataclass(frozen=True)
class CropAugmentation:
    """How far a training image may be from its file.

    Attributes:
        area: Least and greatest share of the image that is shown.
        aspect: Least and greatest ratio of the crop's width to its height, before it becomes a square.
        flip: Share of mirror images.
        brightness, contrast, saturation: Factors from 1 − x to 1 + x.
        tint: Each channel's factor, from 1 − x to 1 + x.
    """

    area: tuple[float, float] = (0.35, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    tint: float = 0.05

    @classmethod
    def for_size(cls, size: int, flip: bool) -> "CropAugmentation":
        """What suits images of a size; tiny ones are changed little.

        Args:
            size: Side in pixels.
            flip: Whether a mirror image means the same: not so with letters and digits.
        """
        share = 0.5 if flip else 0.0
        if size >= _TINY:
            return cls(flip=share)
        return cls((0.7, 1.0), (0.9, 1.1), share, brightness=0.15, contrast=0.15, saturation=0.15, tint=0.0)

    @property
    def colours(self) -> Augmentation:
        """The changes of colour alone."""
        return Augmentation(
            brightness=self.brightness, contrast=self.contrast, saturation=self.saturation, tint=self.tint
        )


class CropMaker:
    """Makes training images; the same seed, epoch and index give the same one.

    Args:
        reader: The images.
        size: Side of what is made, in pixels.
        augmentation: What to do to them.
        seed: Of the whole run.
    """

    def __init__(self, reader: ImageReader, size: int, augmentation: CropAugmentation, seed: int) -> None:
        self._reader = reader
        self._size = size
        self._augmentation = augmentation
        self._seed = seed

    def make(self, epoch: int, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Makes one.

        Args:
            epoch: Of the run.
            index: Of the image.

        Returns:
            (size, size, 3) uint8 RGB, and a (3, 4) float32 change of colour as in
            `models.training.augmentation.Example`.
        """
        rng = np.random.default_rng((self._seed, epoch, index))
        pixels = self._reader.read(index)
        top, left, height, width = self._window(rng, *pixels.shape[:2])
        image = torch.as_tensor(pixels).permute(2, 0, 1)
        size = [self._size, self._size]
        crop = resized_crop_image(image, top, left, height, width, size, InterpolationMode.BILINEAR, antialias=True)
        if rng.random() < self._augmentation.flip:
            crop = crop.flip(2)
        return crop.permute(1, 2, 0).contiguous().numpy(), colour_change(rng, self._augmentation.colours)

    def _window(self, rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of a crop, drawn as for GoogLeNet (arXiv:1409.4842, section 6)."""
        low, high = (math.log(aspect) for aspect in self._augmentation.aspect)
        for _ in range(_ATTEMPTS):
            area = height * width * rng.uniform(*self._augmentation.area)
            aspect = math.exp(rng.uniform(low, high))
            crop_height, crop_width = round((area / aspect) ** 0.5), round((area * aspect) ** 0.5)
            if 0 < crop_height <= height and 0 < crop_width <= width:
                top, left = rng.integers(0, (height - crop_height + 1, width - crop_width + 1))
                return int(top), int(left), crop_height, crop_width
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side
