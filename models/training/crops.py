"""Data augmentation for classifiers: random crop, horizontal flip, inversion and colour jitter."""

# pyright: reportMissingTypeStubs=false

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
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
        padding: Pixels of black around the image, out of which a crop of the image's own size is cut, as is usual for
            CIFAR-10 (arXiv:1512.03385, section 4.2); `area` and `aspect` are then ignored. 0: crops of random size.
        flip: Share of mirror images.
        invert: Share of images whose colours are inverted.
        brightness, contrast, saturation: Factors from 1 − x to 1 + x.
        tint: Each channel's factor, from 1 − x to 1 + x.
    """

    area: tuple[float, float] = (0.35, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    padding: int = 0
    flip: float = 0.5
    invert: float = 0.0
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    tint: float = 0.05

    @classmethod
    def for_size(cls, size: int, flip: bool, padding: int = 0, invert: float = 0.0) -> "CropAugmentation":
        """What suits images of a size; tiny ones are changed little.

        Args:
            size: Side in pixels.
            flip: Whether a mirror image means the same: not so with letters and digits.
            padding: See the attribute.
            invert: See the attribute.
        """
        own = cls(padding=padding, flip=0.5 if flip else 0.0, invert=invert)
        if size >= _TINY:
            return own
        tiny = {"brightness": 0.15, "contrast": 0.15, "saturation": 0.15, "tint": 0.0}
        return replace(own, area=(0.7, 1.0), aspect=(0.9, 1.1), **tiny)

    @property
    def colours(self) -> Augmentation:
        """The changes of colour alone."""
        return Augmentation(
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            tint=self.tint,
            invert=self.invert,
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

    def make(self, epoch: int, index: int, side: int | None = None) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Makes one.

        Args:
            epoch: Of the run.
            index: Of the image.
            side: Of what is made, in pixels; the maker's own where None.

        Returns:
            (side, side, 3) uint8 RGB, and a (3, 4) float32 change of colour as in
            `models.training.augmentation.Example`.
        """
        rng = np.random.default_rng((self._seed, epoch, index))
        pixels = self._reader.read(index)
        side = self._size if side is None else side
        if self._augmentation.padding:
            crop = self._shifted(rng, pixels, side)
        else:
            crop = _resized(pixels, self._window(rng, *pixels.shape[:2]), side)
        if rng.random() < self._augmentation.flip:
            crop = crop.flip(2)
        return crop.permute(1, 2, 0).contiguous().numpy(), colour_change(rng, self._augmentation.colours)

    def _shifted(self, rng: np.random.Generator, pixels: NDArray[np.uint8], side: int) -> Tensor:
        """The image, moved by up to `padding` pixels up or down, and left or right."""
        padding = round(self._augmentation.padding * side / self._size)
        image = _resized(pixels, _centred_square(*pixels.shape[:2]), side)
        top, left = rng.integers(0, 2 * padding + 1, 2).tolist()
        return pad(image, [padding] * 4)[:, top : top + side, left : left + side]

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
        return _centred_square(height, width)


def _centred_square(height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the largest one."""
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def _resized(pixels: NDArray[np.uint8], window: tuple[int, int, int, int], side: int) -> Tensor:
    """A window of an image, (3, side, side) uint8."""
    image = torch.as_tensor(pixels).permute(2, 0, 1)
    if window == (0, 0, side, side) and image.shape[1:] == (side, side):
        return image
    return resized_crop_image(image, *window, [side, side], InterpolationMode.BILINEAR, antialias=True)
