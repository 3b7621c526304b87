"""Makes training images: mosaics, scales, crops and mirror images, with the boxes that go with them."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize_image

from models.training.photos import PhotoReader

_PADDING: Final = 114
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""
_MIDDLE: Final = 127.0


@dataclass(frozen=True, eq=False)
class Example:
    """One training image.

    Attributes:
        pixels: (side, side, 3) uint8 RGB.
        boxes: (N, 4) float32, x_min, y_min, x_max, y_max in its pixels.
        class_ids: (N,) int64.
        crowds: (M, 4) float32, regions to learn nothing from.
        colour: (3, 4) float32: RGB becomes `colour[:, :3] @ rgb + colour[:, 3]`, to be clipped to 0 to 255.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    crowds: NDArray[np.float32]
    colour: NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How far a training image may be from its photo.

    Attributes:
        mosaic: Share of images that are four photos around a point (arXiv:2004.10934, section 3.4), 0 to 1.
        scale: Least and greatest size, as a share of the size that fits.
        mosaic_scale: The same for each photo of a mosaic.
        flip: Share of mirror images.
        brightness, contrast, saturation: Factors from 1 − x to 1 + x.
        tint: Each channel's factor, from 1 − x to 1 + x.
        least_visible: A box stays while at least this share of its area is in the picture.
        least_side: And while its sides have at least so many pixels.
    """

    mosaic: float = 0.75
    scale: tuple[float, float] = (0.6, 1.4)
    mosaic_scale: tuple[float, float] = (0.4, 1.2)
    flip: float = 0.5
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.5
    tint: float = 0.07
    least_visible: float = 0.25
    least_side: float = 2.0


class ExampleMaker:
    """Makes examples; the same seed, epoch and index give the same example.

    Args:
        reader: The photos.
        augmentation: What to do to them.
        seed: Of the whole run.
    """

    def __init__(self, reader: PhotoReader, augmentation: Augmentation, seed: int) -> None:
        self._reader = reader
        self._augmentation = augmentation
        self._seed = seed

    def make(self, epoch: int, index: int, side: int, mosaic: bool) -> Example:
        """Makes one.

        Args:
            epoch: Of the run.
            index: Of the photo.
            side: Of the picture to make, in pixels.
            mosaic: Whether mosaics are made at all.
        """
        rng = np.random.default_rng((self._seed, epoch, index))
        canvas = _Canvas(side, self._augmentation)
        if mosaic and rng.random() < self._augmentation.mosaic:
            self._add_mosaic(canvas, rng, index)
        else:
            pixels, boxes, class_ids, crowds = self._scaled(index, side, self._augmentation.scale, rng)
            height, width = pixels.shape[:2]
            top, left = (_shift(rng, size, side) for size in (height, width))
            canvas.paste(pixels, (top, left), (0, 0, side, side), boxes, class_ids, crowds)
        return canvas.example(rng)

    def _add_mosaic(self, canvas: "_Canvas", rng: np.random.Generator, index: int) -> None:
        side = canvas.side
        row, column = (int(side * value) for value in rng.uniform(0.3, 0.7, 2))
        others = rng.integers(0, len(self._reader), 3)
        quarters = ((0, 0, row, column), (0, column, row, side), (row, 0, side, column), (row, column, side, side))
        for photo, (top, left, bottom, right) in zip((index, *others), quarters, strict=True):
            pixels, boxes, class_ids, crowds = self._scaled(int(photo), side, self._augmentation.mosaic_scale, rng)
            height, width = pixels.shape[:2]
            place = (top + _shift(rng, height, bottom - top), left + _shift(rng, width, right - left))
            canvas.paste(pixels, place, (top, left, bottom, right), boxes, class_ids, crowds)

    def _scaled(
        self, index: int, side: int, scale: tuple[float, float], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        photo, pixels = self._reader.read(index)
        low, high = np.log(scale)
        height, width = pixels.shape[:2]
        factor = float(np.exp(rng.uniform(low, high))) * side / max(height, width)
        size = [max(1, round(height * factor)), max(1, round(width * factor))]
        image = resize_image(torch.from_numpy(pixels).permute(2, 0, 1), size, InterpolationMode.BILINEAR)
        ratio = np.array([size[1] / photo.size[1], size[0] / photo.size[0]] * 2, np.float32)
        return image.permute(1, 2, 0).numpy(), photo.boxes * ratio, photo.class_ids, photo.crowds * ratio


class _Canvas:
    """A picture that photos are pasted into."""

    def __init__(self, side: int, augmentation: Augmentation) -> None:
        self.side = side
        self._augmentation = augmentation
        self._pixels = np.full((side, side, 3), _PADDING, np.uint8)
        self._boxes = [np.zeros((0, 4), np.float32)]
        self._class_ids = [np.zeros(0, np.int64)]
        self._crowds = [np.zeros((0, 4), np.float32)]

    def paste(
        self,
        pixels: NDArray[np.uint8],
        place: tuple[int, int],
        window: tuple[int, int, int, int],
        boxes: NDArray[np.float32],
        class_ids: NDArray[np.int64],
        crowds: NDArray[np.float32],
    ) -> None:
        """Pastes what of `pixels`, whose corner lies at `place` (top, left), falls into the window."""
        top, left, bottom, right = window
        (y, x), (height, width) = place, pixels.shape[:2]
        top, left, bottom, right = max(top, y), max(left, x), min(bottom, y + height), min(right, x + width)
        self._pixels[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]
        edges = np.array([[left, top], [right, bottom]], np.float32)
        shown, seen = self._cut(boxes + np.array([x, y, x, y], np.float32), edges)
        self._boxes.append(shown[seen])
        self._class_ids.append(class_ids[seen])
        self._crowds.append(self._cut(crowds + np.array([x, y, x, y], np.float32), edges)[0])

    def _cut(
        self, boxes: NDArray[np.float32], edges: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The boxes cut at the edges, and which of them are still worth learning."""
        cut = np.concatenate([boxes[:, :2].clip(edges[0], edges[1]), boxes[:, 2:].clip(edges[0], edges[1])], 1)
        sides = cut[:, 2:] - cut[:, :2]
        whole = (boxes[:, 2:] - boxes[:, :2]).prod(1).clip(min=1e-6)
        wide = sides.min(1, initial=np.inf) >= self._augmentation.least_side
        return cut, wide & (sides.prod(1) >= self._augmentation.least_visible * whole)

    def example(self, rng: np.random.Generator) -> Example:
        """What has become of it, mirrored or not, with a change of colour."""
        pixels, boxes, crowds = self._pixels, np.concatenate(self._boxes), np.concatenate(self._crowds)
        if rng.random() < self._augmentation.flip:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
            boxes, crowds = (_mirrored(some, self.side) for some in (boxes, crowds))
        return Example(pixels, boxes, np.concatenate(self._class_ids), crowds, colour_change(rng, self._augmentation))


def _shift(rng: np.random.Generator, size: int, room: int) -> int:
    """Where something of a size starts in the room there is: anywhere that it fits, or that it fills the room."""
    low, high = sorted((0, room - size))
    return int(rng.integers(low, high + 1))


def _mirrored(boxes: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = side - boxes[:, [2, 0]]
    return mirrored


def colour_change(rng: np.random.Generator, augmentation: Augmentation) -> NDArray[np.float32]:
    """Draws a change of colour: saturation, each channel's tint, brightness, then contrast around the middle.

    Returns:
        (3, 4) float32, see `Example.colour`.
    """

    def around(spread: float) -> float:
        return float(rng.uniform(1 - spread, 1 + spread))

    saturation, brightness, contrast = (
        around(spread) for spread in (augmentation.saturation, augmentation.brightness, augmentation.contrast)
    )
    tints = np.array([around(augmentation.tint) for _ in range(3)], np.float32)
    matrix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * _LUMA
    matrix = contrast * brightness * tints[:, None] * matrix
    return np.concatenate([matrix, np.full((3, 1), _MIDDLE * (1 - contrast), np.float32)], 1).astype(np.float32)
