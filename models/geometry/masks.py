"""Binary masks as run-length encoding (RLE), in the format of pycocotools.

A mask is stored as its run lengths, a few hundred bytes, so that a hundred of them on a large photo take little memory.
`models.geometry.polygons` converts them to polygons. Needs numpy and pycocotools, and no torch.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

_COUNTS: Final = re.compile("(?:[P-o]{0,6}[0-O])+")
"""The most characters of a number: 34 bits and a sign, see `_lengths`."""


class Runs(NamedTuple):
    """The pixels of a mask as vertical runs within columns, in column-major order.

    Attributes:
        columns: (R,) int64, the column of each run.
        tops: (R,) int64, its first row.
        bottoms: (R,) int64, the row below its last one.
    """

    columns: NDArray[np.int64]
    tops: NDArray[np.int64]
    bottoms: NDArray[np.int64]


@dataclass(frozen=True)
class Mask:
    """A binary mask of an object or a class.

    Attributes:
        size: (height, width) of the whole image in pixels, at least 1 each.
        counts: COCO's compressed run lengths, column by column.
    """

    size: tuple[int, int]
    counts: bytes

    @classmethod
    def from_array(cls, pixels: NDArray[np.bool_]) -> "Mask":
        """Encodes (H, W) bool."""
        height, width = pixels.shape
        return cls.from_region(pixels, (0, 0), (height, width))

    @classmethod
    def from_region(cls, region: NDArray[np.bool_], top_left: tuple[int, int], size: tuple[int, int]) -> "Mask":
        """Encodes a region of an otherwise empty mask, without an array of the whole image.

        Args:
            region: (h, w) bool; may be empty.
            top_left: Row and column of the image at which the region begins.
            size: (height, width) of the whole image in pixels; the region lies within it.

        Returns:
            The same as `from_array` of the whole image would give.

        Raises:
            ValueError: The region reaches beyond the image.
        """
        (top, left), (height, width) = top_left, size
        rows, columns = region.shape
        if min(top, left) < 0 or top + rows > height or left + columns > width:
            raise ValueError(f"a region of {rows} x {columns} at {top_left} reaches beyond {height} x {width}")
        covered_rows, covered_columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
        if not len(covered_rows):
            return cls.from_turns(np.zeros(0, np.int64), size)
        first_row, first_column = covered_rows[0], covered_columns[0]
        cut = region[first_row : covered_rows[-1] + 1, first_column : covered_columns[-1] + 1]
        framed = np.zeros((cut.shape[1], cut.shape[0] + 2), np.bool_)
        framed[:, 1:-1] = cut.T
        column, row = np.divmod(np.flatnonzero(framed[:, 1:] != framed[:, :-1]), cut.shape[0] + 1)
        return cls.from_turns((left + first_column + column) * height + top + first_row + row, size)

    @classmethod
    def from_turns(cls, turns: NDArray[np.int64], size: tuple[int, int]) -> "Mask":
        """Encodes a mask from the starts and ends of its runs, without an array of pixels.

        Args:
            turns: (N,) column-major pixel indices, from 0 to height × width, ascending: starts and ends (exclusive) of
                runs, alternately. A run that starts where another ends continues it.
            size: (height, width) of the whole image in pixels.
        """
        places, times = np.unique(turns, return_counts=True)
        lengths: list[int] = np.diff(places[times % 2 == 1], prepend=0, append=size[0] * size[1]).tolist()
        return cls.from_coco({"size": size, "counts": lengths if lengths[-1] else lengths[:-1]})

    @classmethod
    def from_coco(cls, rle: Mapping[str, Any]) -> "Mask":
        """Converts from RLE as in COCO's files and the responses of the API.

        Args:
            rle: `size`, and `counts`: compressed, as text or bytes, or a list of numbers.

        Returns:
            The mask.

        Raises:
            KeyError: One of the two is missing.
            TypeError: The counts are neither.
        """
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"]
        if not isinstance(counts, str | bytes | list):
            raise TypeError(f"counts must be text, bytes or a list of numbers, not {type(counts).__name__}")
        if isinstance(counts, list):
            uncompressed = cast(Any, {"size": [height, width], "counts": counts})
            return cls.from_coco(cast(Any, coco_mask.frPyObjects(uncompressed, height, width)))
        return cls((height, width), counts.encode() if isinstance(counts, str) else counts)

    @classmethod
    def from_stranger(cls, rle: Mapping[str, Any], size: tuple[int, int]) -> "Mask":
        """Validates and converts untrusted RLE, with which pycocotools could read or write out of bounds.

        Args:
            rle: As for `from_coco`.
            size: (height, width) that the mask must have.

        Returns:
            The mask.

        Raises:
            ValueError: They are malformed, or not of that size, or do not add up to it.
        """
        counts, pixels = rle.get("counts"), size[0] * size[1]
        if list(rle.get("size", ())) != list(size):
            raise ValueError(f"size must be that of the image, {list(size)}")
        if isinstance(counts, str) and not _COUNTS.fullmatch(counts):
            raise ValueError("counts must be compressed run lengths")
        try:
            lengths = _lengths(counts.encode()) if isinstance(counts, str) else np.array(counts or [], np.int64)
        except (TypeError, ValueError, OverflowError):
            raise ValueError("counts must be compressed run lengths, or a list of numbers") from None
        if lengths.ndim != 1 or not np.all((lengths >= 0) & (lengths <= pixels)) or lengths.sum() != pixels:
            raise ValueError(f"counts must be at least 0 each, and {pixels} together")
        return cls.from_coco({"size": size, "counts": counts if isinstance(counts, str) else lengths.tolist()})

    @classmethod
    def union(cls, masks: Sequence["Mask"]) -> "Mask":
        """Union of several masks.

        Args:
            masks: At least one, all of the same size.

        Returns:
            A mask of that size.

        Raises:
            ValueError: There is none, or their sizes differ.
        """
        if len({mask.size for mask in masks}) != 1:
            raise ValueError(f"masks must be of one size to be united, not {[mask.size for mask in masks]}")
        return cls.from_coco(cast(Any, coco_mask.merge([cast(Any, mask.to_coco()) for mask in masks])))

    def to_coco(self) -> dict[str, Any]:
        """Converts to `{"size": [height, width], "counts": text}`, which pycocotools reads."""
        return {"size": list(self.size), "counts": self.counts.decode()}

    def to_array(self) -> NDArray[np.bool_]:
        """Decodes to (H, W) bool."""
        region, (top, left) = self.to_region()
        pixels = np.zeros(self.size, np.bool_)
        pixels[top : top + region.shape[0], left : left + region.shape[1]] = region
        return pixels

    def to_region(self) -> tuple[NDArray[np.bool_], tuple[int, int]]:
        """Decodes the bounding rectangle of the mask; the inverse of `from_region`.

        Returns:
            (h, w) bool, and the row and column at which it begins; (0, 0) bool at (0, 0) for an empty mask.
        """
        left, top, right, bottom = self.bounds
        columns, tops, bottoms = self.runs()
        if not len(columns):
            return np.zeros((0, 0), np.bool_), (0, 0)
        height = bottom - top
        starts = (columns - left) * height - top
        turns = np.stack([starts + tops, starts + bottoms], 1).ravel()
        lengths = np.diff(turns, prepend=0, append=height * (right - left))
        covered = np.arange(len(lengths)) % 2 == 1
        return np.repeat(covered, lengths).reshape(right - left, height).T, (top, left)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(coco_mask.area(cast(Any, self.to_coco())))

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """The bounding box: x_min, y_min, x_max, y_max in pixels; zeros for an empty mask."""
        columns, tops, bottoms = self.runs()
        if not len(columns):
            return 0, 0, 0, 0
        return int(columns[0]), int(tops.min()), int(columns[-1]) + 1, int(bottoms.max())

    def runs(self) -> Runs:
        """Returns the mask as vertical runs."""
        turns = np.cumsum(_lengths(self.counts))
        height = self.size[0]
        starts, ends = turns[:-1:2], turns[1::2]
        starts, ends = starts[starts < ends], ends[starts < ends]
        first, last = starts // height, (ends - 1) // height
        pieces = last - first + 1
        of = np.repeat(np.arange(len(starts)), pieces)
        columns = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        tops = np.maximum(starts[of] - columns * height, 0)
        return Runs(columns, tops, np.minimum(ends[of] - columns * height, height))


def _lengths(counts: bytes) -> NDArray[np.int64]:
    """Decodes compressed run lengths, alternately of pixels outside and inside the mask.

    Numbers are written low digits first, five bits a character from "0" on with a sixth bit where more follow, and the
    fourth and later ones as what they exceed the one before last by (pycocotools, `common/maskApi.c`, `rleToString`).
    """
    characters = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((characters & 0x20) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = np.arange(len(characters)) - np.repeat(starts, ends - starts + 1)
    numbers = np.add.reduceat((characters & 0x1F) << 5 * digits, starts)
    numbers -= np.where(characters[ends] & 0x10, 1 << 5 * (ends - starts + 1), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers
