"""Resizes the logits of a semantic network to the original image and takes the argmax, a few rows at a time."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.imaging.letterbox import Letterbox

_VALUES_AT_ONCE: Final = 2**21
"""Logits at the size of the original that are in memory at a time: 8 MB, several times."""


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The most probable class of every pixel.

    Attributes:
        class_map: (H, W) uint8.
        pixel_counts: (C,) int64, pixels of each class in `class_map`.
        probability_sums: (C,) float64, sum of the class's probability over those pixels; None where not computed.
    """

    class_map: NDArray[np.uint8]
    pixel_counts: NDArray[np.int64]
    probability_sums: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class _Places:
    """Source indices and weights of a bilinear resize along one side, from cells of logits to pixels of the original.

    Attributes:
        before: (L,) int64, the cell whose middle is at or before that of the pixel.
        after: (L,) int64, the next one; the same where there is none, or none of the image.
        share: (L,) float32 in [0, 1), weight of `after`.
    """

    before: Tensor
    after: Tensor
    share: Tensor

    @classmethod
    def of(cls, length: int, resized: int, padded: int, cells: int, device: torch.device) -> "_Places":
        """For a side of `length` pixels, resized to `resized` of the `padded` pixels that the cells cover."""
        in_image = resized * cells / padded
        last = max(0, int(np.floor(in_image - 0.5)))
        places = ((np.arange(length) + 0.5) * (in_image / length) - 0.5).clip(0, last)
        before = np.floor(places).astype(np.int64)
        share = torch.as_tensor((places - before).astype(np.float32))
        after = torch.as_tensor(np.minimum(before + 1, last))
        return cls(torch.as_tensor(before).to(device), after.to(device), share.to(device))

    def __getitem__(self, some: slice) -> "_Places":
        return _Places(self.before[some], self.after[some], self.share[some])


def class_map_from(rows: Iterable[Tensor], height: int, letterbox: Letterbox, probabilities: bool) -> ClassMap:
    """Resizes logits bilinearly to the original image, without the padding, and takes the argmax.

    Pixels are squares and logits belong to their centres (`align_corners=False`). Only a few rows of logits at the
    size of the original are in memory at a time.

    Args:
        rows: (C, n, w) float32 each, one below the other; all of them together cover the network's input. C is at most
            256.
        height: Number of rows of them all.
        letterbox: Placement of the image in the network's input.
        probabilities: Whether to compute the probabilities, too.

    Returns:
        The class map, on the CPU; of equal logits the smaller class id wins.
    """
    builder: _Builder | None = None
    for block in rows:
        builder = builder or _Builder(block, height, letterbox, probabilities)
        if builder.add(block.permute(1, 2, 0)):
            break
    assert builder is not None
    sums = builder.sums.numpy() if probabilities else None
    return ClassMap(builder.class_map.numpy(), builder.counts.numpy(), sums)


class _Builder:
    """Builds a class map from the top row to the bottom row."""

    def __init__(self, block: Tensor, height: int, letterbox: Letterbox, probabilities: bool) -> None:
        self._count, _, width = block.shape
        (length, breadth), device = letterbox.image_size, block.device
        inside, padded = letterbox.resized_size, letterbox.input_size
        self._down = _Places.of(length, inside[0], padded[0], height, device)
        self._across = _Places.of(breadth, inside[1], padded[1], width, device)
        self._needed = self._down.after.cpu()
        self._probabilities = probabilities
        self._step = max(1, _VALUES_AT_ONCE // (self._count * breadth))
        self._held = block.new_zeros(0, width, self._count)
        self._first = 0
        self._done = 0
        self.class_map = torch.empty(length, breadth, dtype=torch.uint8)
        self.counts = torch.zeros(self._count, dtype=torch.int64)
        self.sums = torch.zeros(self._count, dtype=torch.float64)

    def add(self, block: Tensor) -> bool:
        """Adds the next rows of logits, (n, w, C), and fills the rows they reach; returns whether it is complete."""
        self._held = torch.cat([self._held, block])
        ready = int(torch.searchsorted(self._needed, self._first + len(self._held)))
        for start in range(self._done, ready, self._step):
            self._decide(slice(start, min(start + self._step, ready)))
        self._done = ready
        if ready == len(self._needed):
            return True
        gone = int(self._down.before[ready]) - self._first
        self._held = self._held[gone:].clone()
        self._first += gone
        return False

    def _decide(self, some: slice) -> None:
        places = self._down[some]
        above, below = (self._held.index_select(0, at - self._first) for at in (places.before, places.after))
        rows = above.lerp_(below, places.share[:, None, None])
        if self._probabilities:
            class_ids, likely = _most_probable(rows, self._across)
            self.sums += torch.bincount(class_ids.flatten(), likely.flatten().double(), self._count).cpu()
        else:
            class_ids = _greatest(rows, self._across)
        self.counts += torch.bincount(class_ids.flatten(), minlength=self._count).cpu()
        self.class_map[some] = class_ids.cpu()


def _greatest(rows: Tensor, across: _Places) -> Tensor:
    """Argmax of (R, w, C) logits resized to W columns: (R, W) uint8 class ids.

    Between two cells with the same argmax every interpolated pixel has it too, because linear interpolation preserves
    the order: only pixels between cells of different classes are interpolated.
    """
    at_cells = rows.argmax(2).float()  # torch selects float32 columns three times as fast as those of bytes
    class_ids, others = (at_cells.index_select(1, at) for at in (across.before, across.after))
    row, column = torch.nonzero((class_ids != others) & (across.share > 0), as_tuple=True)
    before, after = rows[row, across.before[column]], rows[row, across.after[column]]
    class_ids[row, column] = before.lerp_(after, across.share[column, None]).argmax(1).float()
    return class_ids.to(torch.uint8)


def _most_probable(rows: Tensor, across: _Places) -> tuple[Tensor, Tensor]:
    """Argmax, (R, W) uint8, of (R, w, C) logits resized to W columns, and its softmax probability, (R, W) float32."""
    before, after = (rows.index_select(1, at) for at in (across.before, across.after))
    logits = before.lerp_(after, across.share[:, None])
    greatest, class_ids = logits.max(2)
    return class_ids.to(torch.uint8), (greatest - logits.logsumexp(2)).exp()
