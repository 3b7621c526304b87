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

from models.masks import Mask

UNKNOWN: Final = np.iinfo(np.uint16).max
"""In an id map: nobody knows what is here."""

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
        numbers: Those of the photo's objects, in the order of its boxes.
        unknown: The number of pixels that nobody knows.
    """

    path: Path
    numbers: tuple[int, ...]
    unknown: int | None = None

    def id_map(self) -> IdMap:
        """See `ObjectMasks.id_map`."""
        picture = read_numbers(self.path)
        table = np.zeros(max(int(picture.max()), *self.numbers, self.unknown or 0) + 1, np.uint16)
        table[list(self.numbers)] = np.arange(1, len(self.numbers) + 1)
        if self.unknown is not None:
            table[self.unknown] = UNKNOWN
        return table[picture]

    def objects(self) -> list[Mask]:
        """See `ObjectMasks.objects`."""
        picture = read_numbers(self.path)
        return [Mask.from_array(picture == number) for number in self.numbers]


def rectangle(corners: Sequence[float]) -> list[list[float]]:
    """A box as a polygon.

    Args:
        corners: x_min, y_min, x_max, y_max.
    """
    x_min, y_min, x_max, y_max = corners
    return [[x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]]


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
    is_rle = isinstance(segment, Mapping)
    try:
        mask = Mask.from_coco(cast(Mapping[str, Any], segment) if is_rle else coco_mask.merge(encode(segment, *size)))
    except Exception as error:  # pycocotools raises bare ones
        raise ValueError(f"a segmentation is neither polygons nor run lengths: {error!r}") from None
    if mask.size != size:
        raise ValueError(f"a segmentation is of a photo of {mask.size}, not of {size} (height, width)")
    return mask
