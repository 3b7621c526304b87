"""The built-in data set: scenes composed from scikit-learn's digits, with exact classes, boxes and masks.

The digits are 1,797 handwritten ones of 8 x 8 pixels (E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten
Digits, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0), as scikit-learn has them.
Every fifth one of each class is held back for evaluation; a model that learns from the others meets digits that it has
not seen. Every scene is made alone, from the seed and its number, in a millisecond or two.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from models.datasets.photo_files import digest_of
from models.datasets.samples import (
    BACKGROUND,
    ClassTarget,
    DatasetError,
    Kind,
    LabelProblem,
    ObjectTarget,
    RegionTarget,
    Sample,
    Target,
)
from models.geometry.masks import Mask

DIGITS: Final = "digits"
"""What the data set is called."""

CLASS_NAMES: Final = tuple("0123456789")

Split = Literal["train", "val"]

_COUNT: Final = 1000
_VERSION: Final = 1  # of the drawing: raised with every change of a pixel
_HELD_BACK: Final = 5
_SCENE_SIDE: Final = 320
_SINGLE_SIDE: Final = 96
_MOST_DIGITS: Final = 8
_DIGIT_SIDES: Final = (32, 128)
_SINGLE_SIDES: Final = (56, 88)
_TRIES: Final = 8
_MOST_HIDDEN: Final = 0.15
_LEAST_CONTRAST: Final = 110.0
_QUALITY: Final = 95


class Scene(NamedTuple):
    """What is drawn.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        owners: (H, W) uint8, n where digit n - 1 is seen, 0 where the background is.
        class_ids: (N,) int64, of the digits, the later in front.
    """

    pixels: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    class_ids: NDArray[np.int64]


@dataclass(eq=False)
class DigitScenes:
    """Scenes of digits: an `EvaluationSet` for every kind of model.

    For a classifier a scene is one large digit on 96 x 96 pixels; otherwise one to eight of 32 to 128 pixels on
    320 x 320, of which one may hide a little of another. Masks, boxes and areas are of what is seen. Images are JPEG.

    Attributes:
        kind: See `EvaluationSet`.
        seed: Seed of the random number generator, 0 or more.
        count: Scenes, 1 or more.
        split: `val` for those held back, `train` for the others.
        name: See `EvaluationSet`.
        class_names: See there.
        category_ids: See there.
        digest: See there.
        problems: None ever.
    """

    kind: Kind
    seed: int = 0
    count: int = _COUNT
    split: Split = "val"
    name: str = field(init=False)
    class_names: tuple[str, ...] = field(init=False)
    category_ids: tuple[int, ...] = field(init=False)
    digest: str = field(init=False)
    problems: Sequence[LabelProblem] = ()

    def __post_init__(self) -> None:
        parts = [DIGITS, *(["train"] if self.split == "train" else []), *([str(self.seed)] if self.seed else [])]
        self.name = "/".join(parts)
        first = (BACKGROUND,) if self.kind == "semantic" else ()
        self.class_names = (*first, *CLASS_NAMES)
        self.category_ids = tuple(range(1 - len(first), len(CLASS_NAMES) + 1))
        self.digest = digest_of(f"{_VERSION} {self.kind} {self.seed} {self.count} {self.split}")

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Sample:
        """See `EvaluationSet.load`; the same on every machine, and whatever was loaded before."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name} has no scene {index}")
        scene = self.scene(index)
        image = simplejpeg.encode_jpeg(scene.pixels, quality=_QUALITY, colorsubsampling="444")
        return Sample(index + 1, f"{index:06}.jpg", image, self._target(scene))

    def scene(self, index: int) -> Scene:
        """Draws one scene."""
        rng = np.random.default_rng((self.seed, index, self.kind == "classification"))
        images, class_ids = _digits(self.split)
        if self.kind == "classification":
            return _scene(rng, images, class_ids, _SINGLE_SIDE, 1, _SINGLE_SIDES)
        return _scene(rng, images, class_ids, _SCENE_SIDE, int(rng.integers(1, _MOST_DIGITS + 1)), _DIGIT_SIDES)

    def _target(self, scene: Scene) -> Target:
        if self.kind == "classification":
            return ClassTarget(int(scene.class_ids[0]))
        if self.kind == "semantic":
            return RegionTarget(np.concatenate([[0], scene.class_ids + 1]).astype(np.uint8)[scene.owners])
        masks = tuple(Mask.from_array(scene.owners == number + 1) for number in range(len(scene.class_ids)))
        boxes = np.array([mask.bounds for mask in masks], np.float64)
        areas = np.array([mask.area for mask in masks], np.float64)
        crowds = np.zeros(len(masks), np.bool_)
        return ObjectTarget(boxes, scene.class_ids, areas, crowds, masks if self.kind == "instance" else None)


def open_digits(spec: str, kind: Kind, limit: int | None = None) -> DigitScenes:
    """Opens the data set.

    Args:
        spec: `digits`, `digits:SEED` or `digits:SEED:COUNT`.
        kind: What for.
        limit: So many scenes, from the first.

    Raises:
        DatasetError: Seed or count are no whole numbers, or there is more.
    """
    _, *numbers = spec.split(":")
    if len(numbers) > 2 or not all(text.isascii() and text.isdigit() and len(text) < 10 for text in numbers):
        folder = f"; the folder {DIGITS} is ./{DIGITS}" if Path(DIGITS).is_dir() else ""
        raise DatasetError(f"{spec}: must be {DIGITS}, {DIGITS}:SEED or {DIGITS}:SEED:COUNT{folder}")
    seed = int(numbers[0]) if numbers else 0
    count = int(numbers[1]) if len(numbers) == 2 else _COUNT
    if count < 1:
        raise DatasetError(f"{spec}: there must be one scene or more")
    return DigitScenes(kind, seed, count if limit is None else min(count, limit))


@cache
def _digits(split: Split) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(N, 8, 8) float32, 0 to 1, and (N,) class ids, of one split."""
    from sklearn.datasets import load_digits  # takes most of a second, which only those wait who need it

    loaded: Any = load_digits()
    images: NDArray[np.float32] = np.asarray(loaded.images, np.float32)
    class_ids: NDArray[np.int64] = np.asarray(loaded.target, np.int64)
    held_back = np.zeros(len(class_ids), np.bool_)
    for class_id in range(len(CLASS_NAMES)):
        held_back[np.flatnonzero(class_ids == class_id)[_HELD_BACK - 1 :: _HELD_BACK]] = True
    chosen = held_back if split == "val" else ~held_back
    return images[chosen] / np.float32(16), class_ids[chosen]


def _scene(
    rng: np.random.Generator,
    images: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    side: int,
    count: int,
    sides: tuple[int, int],
) -> Scene:
    pixels = _background(rng, side)
    owners = np.zeros((side, side), np.uint8)
    found: list[int] = []
    areas = np.zeros(count + 1, np.int64)
    for _ in range(count):
        which = int(rng.integers(len(images)))
        opacity = _enlarged(images[which], int(rng.integers(sides[0], sides[1] + 1)))
        mask = opacity >= 0.5
        place = _free_place(rng, owners, mask, areas)
        if place is None:
            continue
        found.append(int(class_ids[which]))
        window = np.s_[place[0] : place[0] + mask.shape[0], place[1] : place[1] + mask.shape[1]]
        areas -= np.bincount(owners[window][mask], minlength=len(areas))
        areas[len(found)] = np.count_nonzero(mask)
        owners[window][mask] = len(found)
        behind = pixels[window]
        colour = _colour(rng, behind.mean((0, 1))).astype(np.float32)
        behind[:] = behind + opacity[..., None] * (colour - behind)
    pixels += rng.integers(-8, 9, (side, side, 1), np.int16)
    return Scene(pixels.clip(0, 255).astype(np.uint8), owners, np.array(found, np.int64))


def _background(rng: np.random.Generator, side: int) -> NDArray[np.int16]:
    """(side, side, 3) int16: clouds of colour, coarse ones and finer ones upon them."""
    clouds = np.zeros((1, 1, 3), np.int16)
    for cells, strength in ((3, 80), (12, 30), (48, 12)):
        clouds = _resized(clouds, cells) + rng.integers(-strength, strength + 1, (cells, cells, 3), np.int16)
    return _resized(clouds + rng.integers(90, 171, 3, np.int16), side).astype(np.int16)


def _resized(colours: NDArray[np.int16], side: int) -> NDArray[np.int16]:
    """(side, side, 3): bytes are resized several times as fast as anything else."""
    image = Image.fromarray((colours.clip(-128, 383) // 2 + 64).astype(np.uint8))
    return (np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16) - 64) * 2


def _enlarged(digit: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """How opaque a digit is, (h, w) float32, 0 to 1, without empty rows and columns around; its mask is from 0.5 up."""
    smooth = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC))
    opacity = (0.5 + (smooth - 0.4) * side / 16).clip(0, 1)
    rows, columns = np.flatnonzero((opacity >= 0.5).any(1)), np.flatnonzero((opacity >= 0.5).any(0))
    return opacity[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _free_place(
    rng: np.random.Generator, owners: NDArray[np.uint8], mask: NDArray[np.bool_], areas: NDArray[np.int64]
) -> tuple[int, int] | None:
    """Top and left of a place where a digit hides little of every other; None where none was found in a few tries."""
    for _ in range(_TRIES):
        top, left = (int(rng.integers(0, room - size + 1)) for room, size in zip(owners.shape, mask.shape, strict=True))
        under = owners[top : top + mask.shape[0], left : left + mask.shape[1]][mask]
        hidden = np.bincount(under, minlength=len(areas))
        if (hidden[1:] <= _MOST_HIDDEN * areas[1:]).all():
            return top, left
    return None


def _colour(rng: np.random.Generator, behind: NDArray[np.float64]) -> NDArray[np.float64]:
    """A colour that differs from that of the background."""
    for _ in range(_TRIES):
        colour = rng.uniform(0, 255, 3)
        if np.linalg.norm(colour - behind) >= _LEAST_CONTRAST:
            return colour
    return np.where(behind < 128, 255.0, 0.0)
