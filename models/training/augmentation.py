"""Data augmentation on photos: mosaic, random scale, crop and flip, with boxes, masks and key points."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2.functional import resize_image

from models.datasets.object_masks import IdMap
from models.datasets.photo_dataset import Photo
from models.training.canvas import Canvas, Piece
from models.training.photos import PhotoReader

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""
_MIDDLE: Final = 127.0
_WHITE: Final = np.float32(255)


@dataclass(frozen=True, eq=False)
class Example:
    """One training image.

    Attributes:
        pixels: (side, side, 3) uint8 RGB.
        boxes: (N, 4) float32, x_min, y_min, x_max, y_max in its pixels.
        class_ids: (N,) int64.
        crowds: (M, 4) float32, regions to learn nothing from.
        ids: (side, side) uint16: n where the object n − 1 of `boxes` is, 0 where none of them is, or `UNKNOWN`; (0, 0)
            where masks are not needed.
        class_map: (side, side) uint8, likewise: n where something of the class n − 1 is, 0 where nothing is, or 255
            where it is unknown. What is left of an object that is not worth a box is here, too.
        masked: (N,) bool, of which objects the mask is known.
        key_points: (N, K, 3) float32, x and y in its pixels and COCO's visibility, 0 beyond the picture; K is 0 where
            they are not needed.
        colour: (3, 4) float32: RGB becomes `colour[:, :3] @ rgb + colour[:, 3]`, to be clipped to 0 to 255.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    crowds: NDArray[np.float32]
    ids: IdMap
    class_map: NDArray[np.uint8]
    masked: NDArray[np.bool_]
    key_points: NDArray[np.float32]
    colour: NDArray[np.float32]


@dataclass(frozen=True)
class Augmentation:
    """How far a training image may be from its photo.

    Attributes:
        mosaic: Share of images that are four photos around a point (arXiv:2004.10934, section 3.4), 0 to 1.
        scale: Least and greatest size, as a share of the size that fits.
        mosaic_scale: The same for each photo of a mosaic.
        flip: Share of mirror images.
        turn: Share of images that are turned by 90, 180 or 270 degrees, for what has no upside.
        invert: Share of images whose colours are inverted, for microscopes of both kinds.
        brightness, contrast, saturation: Factors from 1 − x to 1 + x.
        tint: Each channel's factor, from 1 − x to 1 + x.
        least_visible: A box stays while at least this share of its area is in the picture.
        least_side: And while its sides have at least so many pixels.
    """

    mosaic: float = 0.75
    scale: tuple[float, float] = (0.6, 1.4)
    mosaic_scale: tuple[float, float] = (0.4, 1.2)
    flip: float = 0.5
    turn: float = 0.0
    invert: float = 0.0
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.5
    tint: float = 0.07
    least_visible: float = 0.25
    least_side: float = 2.0

    def turned(self) -> "Augmentation":
        """The same for what has no upside and no colours of its own, such as cells under a microscope."""
        return replace(self, turn=0.75, invert=0.15, tint=0.2)


class ExampleMaker:
    """Makes examples; the same seed, epoch and index give the same example.

    Args:
        reader: The photos.
        augmentation: What to do to them.
        seed: Of the whole run.
        masks: Whether the examples have masks.
        native: Whether scales are shares of the photo's own size, and not of the size that fits the picture.
        sides: K, the key point that each one becomes in a mirror image; empty where the examples have none.
    """

    def __init__(
        self,
        reader: PhotoReader,
        augmentation: Augmentation,
        seed: int,
        masks: bool = False,
        native: bool = False,
        sides: Sequence[int] = (),
    ) -> None:
        self._reader = reader
        self._augmentation = augmentation
        self._seed = seed
        self._masks = masks
        self._native = native
        self._sides = sides

    def make(self, epoch: int, index: int, side: int, mosaic: bool) -> Example:
        """Makes one.

        Args:
            epoch: Of the run.
            index: Of the photo.
            side: Of the picture to make, in pixels.
            mosaic: Whether mosaics are made at all.
        """
        rng = np.random.default_rng((self._seed, epoch, index))
        how = self._augmentation
        canvas = Canvas(side, how.least_visible, how.least_side, self._masks, self._sides)
        if mosaic and rng.random() < self._augmentation.mosaic:
            self._add_mosaic(canvas, rng, index)
        else:
            piece = self._scaled(index, side, self._augmentation.scale, rng)
            top, left = (_shift(rng, size, side) for size in piece.pixels.shape[:2])
            canvas.paste(piece, (top, left), (0, 0, side, side))
        canvas.finish(mirrored=rng.random() < self._augmentation.flip, turns=self._turns(rng))
        return Example(
            pixels=canvas.pixels,
            boxes=canvas.boxes,
            class_ids=canvas.class_ids,
            crowds=canvas.crowds,
            ids=canvas.ids,
            class_map=canvas.class_map,
            masked=canvas.masked,
            key_points=canvas.key_points,
            colour=colour_change(rng, self._augmentation),
        )

    def _turns(self, rng: np.random.Generator) -> int:
        turned = self._augmentation.turn > 0 and rng.random() < self._augmentation.turn
        return int(rng.integers(1, 4)) if turned else 0

    def _add_mosaic(self, canvas: Canvas, rng: np.random.Generator, index: int) -> None:
        side = canvas.side
        row, column = (int(side * value) for value in rng.uniform(0.3, 0.7, 2))
        others = rng.integers(0, len(self._reader), 3)
        quarters = ((0, 0, row, column), (0, column, row, side), (row, 0, side, column), (row, column, side, side))
        for photo, (top, left, bottom, right) in zip((index, *others), quarters, strict=True):
            piece = self._scaled(int(photo), side, self._augmentation.mosaic_scale, rng)
            height, width = piece.pixels.shape[:2]
            place = (top + _shift(rng, height, bottom - top), left + _shift(rng, width, right - left))
            canvas.paste(piece, place, (top, left, bottom, right))

    def _scaled(self, index: int, side: int, scale: tuple[float, float], rng: np.random.Generator) -> Piece:
        photo, pixels = self._reader.read(index)
        low, high = np.log(scale)
        height, width = photo.size if self._native else pixels.shape[:2]
        factor = float(np.exp(rng.uniform(low, high))) * (1.0 if self._native else side / max(height, width))
        size = [max(1, round(height * factor)), max(1, round(width * factor))]
        image = resize_image(torch.from_numpy(pixels).permute(2, 0, 1), size, InterpolationMode.BILINEAR)
        ratio = np.array([size[1] / photo.size[1], size[0] / photo.size[0]] * 2, np.float32)
        return Piece(
            pixels=image.permute(1, 2, 0).numpy(),
            boxes=photo.boxes * ratio,
            class_ids=photo.class_ids,
            crowds=photo.crowds * ratio,
            ids=_nearest(self._reader.read_ids(index), size) if self._masks else None,
            masked=photo.masks is not None,
            key_points=self._points(photo, ratio),
        )

    def _points(self, photo: Photo, ratio: NDArray[np.float32]) -> NDArray[np.float32]:
        if photo.key_points is None or not self._sides:
            return np.zeros((len(photo.boxes), len(self._sides), 3), np.float32)
        return (photo.key_points * np.array([*ratio[:2], 1.0])).astype(np.float32)


def _nearest(ids: IdMap, size: Sequence[int]) -> IdMap:
    """Resizes an id map: every pixel takes the number at its centre."""
    rows, columns = (
        ((np.arange(side) + 0.5) * whole / side).astype(np.int64) for side, whole in zip(size, ids.shape, strict=True)
    )
    return ids[rows[:, None], columns]


def _shift(rng: np.random.Generator, size: int, room: int) -> int:
    """Where something of a size starts in the room there is: anywhere that it fits, or that it fills the room."""
    low, high = sorted((0, room - size))
    return int(rng.integers(low, high + 1))


def colour_change(rng: np.random.Generator, augmentation: Augmentation) -> NDArray[np.float32]:
    """Draws a change of colour: saturation, each channel's tint, brightness, then contrast around the middle;
    perhaps inverted.

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
    change = np.concatenate([matrix, np.full((3, 1), _MIDDLE * (1 - contrast), np.float32)], 1).astype(np.float32)
    if augmentation.invert > 0 and rng.random() < augmentation.invert:
        change = np.concatenate([-change[:, :3], _WHITE - change[:, 3:]], 1)
    return change
