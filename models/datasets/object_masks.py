"""Masks of the objects in one photo, as data sets keep them: polygons, run lengths, or a picture of numbers."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from models.geometry.masks import Mask

UNKNOWN: Final = np.iinfo(np.uint16).max
"""In an id map: ignored pixels."""

IdMap = NDArray[np.uint16]
"""(H, W): n where the object n − 1 of a photo is, 0 where none is, or `UNKNOWN`."""


class ObjectMasks(Protocol):
    """The masks of all objects of a photo, in the order of its boxes."""

    def id_map(self) -> IdMap:
        """Gives them in one picture of the photo's size; where objects overlap, the smaller one is on top."""
        ...

    def objects(self) -> list[Mask]:
        """Gives them one by one."""
        ...


@dataclass(frozen=True, eq=False)
class CocoMasks:
    """Masks as COCO's annotation files have them.

    Attributes:
        size: (height, width) of the photo in pixels.
        segments: For each object a list of polygons, or run lengths, compressed or not.
        crowds: The same for regions that hold objects which are not annotated one by one.
    """

    size: tuple[int, int]
    segments: Sequence[Any]
    crowds: Sequence[Any] = ()

    def id_map(self) -> IdMap:
        """See `ObjectMasks.id_map`."""
        ids = np.zeros(self.size, np.uint16)
        for crowd in self.crowds:
            ids[_encoded(crowd, self.size).to_array()] = UNKNOWN
        masks = self.objects()
        for index in sorted(range(len(masks)), key=lambda index: -masks[index].area):
            ids[masks[index].to_array()] = index + 1
        return ids

    def objects(self) -> list[Mask]:
        """See `ObjectMasks.objects`."""
        return [_encoded(segment, self.size) for segment in self.segments]


@dataclass(frozen=True, eq=False)
class NumberedPicture:
    """Masks as a picture whose pixels are numbers: of an object, or of a class.

    Attributes:
        path: A PNG file of 8 or 16 bits, grey or with a palette.
        size: (height, width) of the photo in pixels.
        numbers: Those of the photo's objects, in the order of its boxes.
        boxes: (N, 4) float64 around these, x_min, y_min, x_max, y_max in pixels.
        unknown: Numbers of ignored pixels.
    """

    path: Path
    size: tuple[int, int]
    numbers: tuple[int, ...]
    boxes: NDArray[np.float64]
    unknown: tuple[int, ...] = ()

    def id_map(self) -> IdMap:
        """See `ObjectMasks.id_map`."""
        picture = self._picture()
        table = np.zeros(max(int(picture.max()), *self.numbers, *self.unknown, 0) + 1, np.uint16)
        table[list(self.numbers)] = np.arange(1, len(self.numbers) + 1)
        table[list(self.unknown)] = UNKNOWN
        return table[picture]

    def objects(self) -> list[Mask]:
        """See `ObjectMasks.objects`."""
        picture = self._picture()
        masks: list[Mask] = []
        for (x_min, y_min, x_max, y_max), number in zip(
            self.boxes.astype(np.int64).tolist(), self.numbers, strict=True
        ):
            region = picture[y_min:y_max, x_min:x_max] == number
            masks.append(Mask.from_region(region, (y_min, x_min), self.size))
        return masks

    def _picture(self) -> NDArray[np.int64]:
        picture = read_numbers(self.path)
        if picture.shape != self.size:
            raise ValueError(f"the picture is {picture.shape}, not {self.size} (height, width)")
        return picture


def rectangle(corners: Sequence[float]) -> list[list[float]]:
    """A box as a polygon.

    Args:
        corners: x_min, y_min, x_max, y_max.
    """
    x_min, y_min, x_max, y_max = corners
    return [[x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]]


def segment_box(segment: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Gives the smallest box around polygons or run lengths, x_min, y_min, x_max, y_max in pixels.

    Args:
        segment: As `CocoMasks` has it.
        size: (height, width) of the photo in pixels.

    Raises:
        ValueError: It is neither, or not of that size.
    """
    if isinstance(segment, Mapping):
        x_min, y_min, x_max, y_max = _encoded(segment, size).bounds
        return float(x_min), float(y_min), float(x_max), float(y_max)
    points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in segment])
    (x_min, y_min), (x_max, y_max) = points.min(0).tolist(), points.max(0).tolist()
    return x_min, y_min, x_max, y_max


def segment_area(segment: Any, size: tuple[int, int]) -> float:
    """Gives the area in pixels; of polygons by Gauss's formula, as if they did not overlap. See `segment_box`."""
    if isinstance(segment, Mapping):
        return float(_encoded(segment, size).area)
    return sum(map(polygon_area, segment))


def polygon_area(polygon: Sequence[float]) -> float:
    """Gives the area of x1, y1, x2, y2, … by Gauss's formula."""
    x, y = np.asarray(polygon, np.float64).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


_LEAST_NUMBERS: Final = 6
_FARTHEST: Final = 2.0**20
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_BITS_AT: Final = 24
_GREY_STEP: Final = {2: 85, 4: 17}


def read_numbers(path: Path) -> NDArray[np.int64]:
    """Reads a picture whose pixels are numbers.

    Args:
        path: A PNG file.

    Returns:
        (H, W).

    Raises:
        OSError: The file cannot be read as an image.
        ValueError: It has colours, not numbers.
    """
    with Image.open(path) as picture:
        if picture.mode not in ("1", "L", "P", "I", "I;16"):
            raise ValueError(f"{path}: pixels must be numbers of 8 or 16 bits, not colours ({picture.mode})")
        numbers = np.asarray(picture).astype(np.int64)
    if picture.mode == "L":
        # Pillow spreads grey of 2 or 4 bits over 0 to 255: back to the numbers of the file.
        numbers //= _GREY_STEP.get(_sample_bits(path), 1)
    return numbers


def _sample_bits(path: Path) -> int:
    """How many bits a sample of a PNG file has (PNG specification, section 11.2.1)."""
    with path.open("rb") as file:
        header = file.read(_BITS_AT + 1)
    return header[_BITS_AT] if header.startswith(_PNG) and len(header) > _BITS_AT else 8


def _encoded(segment: Any, size: tuple[int, int]) -> Mask:
    """Polygons, or run lengths, compressed or not, as a mask; a ValueError where they are none of the photo."""
    encode: Any = coco_mask.frPyObjects
    try:
        if isinstance(segment, Mapping):
            return Mask.from_stranger(cast(Mapping[str, Any], segment), size)
        return Mask.from_coco(coco_mask.merge(encode([_drawable(polygon) for polygon in segment], *size)))
    except Exception as error:  # pycocotools raises bare ones
        raise ValueError(f"a segmentation is neither polygons nor run lengths: {error}") from None


def _drawable(polygon: Sequence[float]) -> NDArray[np.float64]:
    """Checks a polygon for pycocotools, which reads four numbers as a box and allocates memory up to a far corner."""
    numbers = np.array(polygon, np.float64)
    if numbers.ndim != 1 or len(numbers) < _LEAST_NUMBERS or len(numbers) % 2:
        raise ValueError("a polygon is two numbers for each of three points or more")
    if not (np.abs(numbers) < _FARTHEST).all():
        raise ValueError("a polygon has a coordinate that is not a number or is too large")
    return numbers
