"""Masks of single objects or classes: run lengths as COCO's tools read them, and what is made of them.

A mask is kept as its run lengths, a few hundred bytes, so that a hundred of them on a large photo weigh nothing.
Needs numpy, pycocotools and shapely, and no torch.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask


@dataclass(frozen=True)
class Mask:
    """The pixels that something covers.

    Attributes:
        size: (height, width) of the whole image in pixels.
        counts: COCO's compressed run lengths, column by column.
    """

    size: tuple[int, int]
    counts: bytes

    @classmethod
    def from_array(cls, pixels: NDArray[np.bool_]) -> "Mask":
        """Encodes (H, W) bool."""
        return cls.from_coco(cast(Any, coco_mask.encode(np.asfortranarray(pixels, np.uint8))))

    @classmethod
    def from_coco(cls, rle: Mapping[str, Any]) -> "Mask":
        """Takes what COCO's files and this project's answers hold: `size` and `counts`, compressed."""
        counts = rle["counts"]
        height, width = rle["size"]
        return cls((int(height), int(width)), counts.encode() if isinstance(counts, str) else counts)

    def to_coco(self) -> dict[str, Any]:
        """Gives `{"size": [height, width], "counts": text}`, which pycocotools reads."""
        return {"size": list(self.size), "counts": self.counts.decode()}

    def to_array(self) -> NDArray[np.bool_]:
        """Decodes to (H, W) bool."""
        return coco_mask.decode({"size": list(self.size), "counts": self.counts}).astype(bool)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(coco_mask.area({"size": list(self.size), "counts": self.counts}))
