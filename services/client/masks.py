"""Masks of a response in any mask format, and their conversion to arrays.

numpy is loaded only where an array is asked for, and Pillow where that is made from a PNG file.
"""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FIRST_LETTER = 48
_MORE = 0x20
_BITS = 5


@dataclass(frozen=True, slots=True)
class RunLengths:
    """A mask as COCO's compressed run lengths.

    Attributes:
        size: (height, width) of the image in pixels.
        counts: Lengths of the runs of pixels, column by column: outside, inside, outside … `to_json()` is what
            `pycocotools.mask.decode` takes.
    """

    size: tuple[int, int]
    counts: str

    def to_array(self) -> NDArray[np.bool_]:
        """(height, width) bool, True where the mask is."""
        import numpy as np

        height, width = self.size
        lengths = list(_lengths(self.counts))
        inside = np.arange(len(lengths)) % 2 == 1
        return np.repeat(inside, lengths).reshape(width, height).T

    def to_json(self) -> dict[str, Any]:
        """As the answer has it."""
        return {"size": list(self.size), "counts": self.counts}


@dataclass(frozen=True, slots=True)
class Polygons:
    """A mask as COCO's polygons.

    Attributes:
        size: (height, width) of the image in pixels.
        rings: Each x, y, x, y … of its corners in pixels; what lies within any of them belongs to the mask.
    """

    size: tuple[int, int]
    rings: tuple[tuple[float, ...], ...]

    def to_array(self) -> NDArray[np.bool_]:
        """(height, width) bool, True where the middle of a pixel lies within a ring."""
        import numpy as np

        covered = np.zeros(self.size, bool)
        for ring in self.rings:
            _fill(covered, ring)
        return covered

    def to_json(self) -> list[list[float]]:
        """As the answer has it."""
        return [list(ring) for ring in self.rings]


@dataclass(frozen=True, slots=True)
class MaskImage:
    """A mask as a PNG file.

    Attributes:
        size: (height, width) of the image in pixels.
        png: The file.
        class_id: Pixels of this value are the mask; where None, those that are not 0.
    """

    size: tuple[int, int]
    png: bytes = field(repr=False)
    class_id: int | None = None

    def to_array(self) -> NDArray[np.bool_]:
        """(height, width) bool, True where the mask is."""
        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(self.png)) as image:
            pixels = np.asarray(image)
        return pixels != 0 if self.class_id is None else pixels == self.class_id

    def to_json(self) -> str:
        """As the answer has it: the file in base64."""
        return b64encode(self.png).decode("ascii")


Mask = RunLengths | Polygons | MaskImage
"""All have `size`, `to_array()` and `to_json()`."""


def parse_mask(value: Any, size: tuple[int, int]) -> Mask:
    """From the member `mask` of a prediction.

    Args:
        value: What stands there.
        size: (height, width) of the image in pixels.
    """
    if isinstance(value, str):
        return MaskImage(size, b64decode(value))
    if isinstance(value, list):
        return Polygons(size, tuple(tuple(ring) for ring in value))
    height, width = value["size"]
    return RunLengths((height, width), value["counts"])


def _lengths(counts: str) -> Iterator[int]:
    """The lengths of runs behind COCO's letters.

    A letter holds five bits of a number, the lowest first, and whether more follow; from the fourth on, a number is
    what a length has more than the one two before it.
    Source: `rleFrString` in https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
    """
    before, last = 0, 0  # the lengths two and one ago
    number, shift, place = 0, 0, 0
    for letter in counts.encode("ascii"):
        bits = letter - _FIRST_LETTER
        number |= (bits & 0x1F) << shift
        shift += _BITS
        if bits & _MORE:
            continue
        if bits & 0x10:
            number -= 1 << shift
        length = number + (before if place > 2 else 0)
        yield length
        before, last = last, length
        number, shift, place = 0, 0, place + 1


def _fill(covered: NDArray[np.bool_], ring: Sequence[float]) -> None:
    """Mark the pixels whose middle lies within a ring: to the right of an odd number of its edges."""
    import numpy as np

    height, width = covered.shape
    x = np.array(ring[0::2], float) - 0.5
    y = np.array(ring[1::2], float) - 0.5
    top, bottom = max(0, int(np.ceil(y.min()))), min(height - 1, int(np.floor(y.max())))
    left, right = max(0, int(np.floor(x.min()))), min(width, int(np.ceil(x.max())) + 1)
    if top > bottom or left >= right:
        return
    crossed = np.zeros((bottom - top + 1, right - left + 1), bool)
    for x_1, y_1, x_2, y_2 in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
        first, end = (int(np.ceil(edge)) for edge in sorted((y_1, y_2)))
        rows = np.arange(max(first, top), min(end, bottom + 1))
        if len(rows):
            columns = np.ceil(x_1 + (rows - y_1) * (x_2 - x_1) / (y_2 - y_1)).astype(int)
            crossed[rows - top, np.clip(columns - left, 0, right - left)] ^= True
    covered[top : bottom + 1, left:right] |= np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
