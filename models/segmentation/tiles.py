"""Tiled inference for large images: overlapping tiles, whose logits are blended linearly at the seams.

Logits near the edge of a tile lack context, so the outer three eighths of the overlap have weight 0 on either side, and
the middle quarter is blended linearly. Where the receptive field reaches no farther than three eighths of the overlap,
the logits equal those of the whole image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

Network = Callable[[NDArray[np.uint8]], Tensor]
"""(N, H, W, 3) uint8 to (N, C, h, w) float32 logits that cover all of the H x W pixels."""

_HANDOVER: Final = 0.25
"""Fraction of the overlap over which neighbouring tiles are blended."""


@dataclass(frozen=True)
class Tiling:
    """Tile size, overlap and alignment of tiled inference.

    Attributes:
        tile: The most pixels of a side of a tile.
        overlap: The least pixels that neighbours share, below half a tile.
        multiple: Tiles begin at multiples of this; `tile`, `overlap` and the sides of images are multiples of it.
        pixels_at_once: The most pixels that go through the network at a time; one tile does in any case.
    """

    tile: int
    overlap: int
    multiple: int
    pixels_at_once: int

    def applies_to(self, size: tuple[int, int]) -> bool:
        """Whether an image of (height, width) pixels is too large for the network as a whole."""
        return max(size) > self.tile

    def starts(self, length: int) -> list[int]:
        """Offsets of the tiles along a side of so many pixels: as few as suffice, evenly spaced."""
        if length <= self.tile:
            return [0]
        steps = -(-(length - self.tile) // (self.tile - self.overlap))
        room = (length - self.tile) // self.multiple
        return [index * room // steps * self.multiple for index in range(steps + 1)]

    def weights(self, length: int) -> NDArray[np.float32]:
        """Blending weights of every pixel of every tile along a side.

        Returns:
            (T, min(tile, length)) float32 in [0, 1]; the weights of a pixel sum to 1 over the tiles that contain it.
        """
        side, starts = min(self.tile, length), self.starts(length)
        centres = np.arange(length, dtype=np.float64) + 0.5
        ramp = max(_HANDOVER * self.overlap, 1)
        seams = [(following + start + side) / 2 for start, following in pairwise(starts)]
        past = [np.clip((centres - seam) / ramp + 0.5, 0, 1) for seam in seams]
        shares = np.diff([np.zeros(length), *past[::-1], np.ones(length)], axis=0)[::-1]
        return np.stack([share[start : start + side] for share, start in zip(shares, starts, strict=True)], dtype="f4")


def logits_by_rows(network: Network, pixels: NDArray[np.uint8], tiling: Tiling) -> Iterator[Tensor]:
    """Runs a network over an image tile by tile, from the top to the bottom.

    Args:
        network: Runs on each batch of tiles, all of one size.
        pixels: (H, W, 3) uint8 RGB, both sides multiples of `tiling.multiple`.
        tiling: Tile size and overlap.

    Yields:
        (C, rows, W) float32 logits of the next rows of pixels, on the device of the network; H in all.
    """
    height, width = pixels.shape[:2]
    starts, lefts = tiling.starts(height), tiling.starts(width)
    ends = [*starts[1:], height]
    down, across = tiling.weights(height), torch.as_tensor(tiling.weights(width))
    carried: Tensor | None = None
    for top, end, weights in zip(starts, ends, down, strict=True):
        band = _band(network, pixels[top : top + len(weights)], lefts, across, tiling)
        band *= torch.as_tensor(weights).to(band.device)[:, None]
        if carried is not None:
            band[:, : carried.shape[1]] += carried
        yield band[:, : end - top]
        carried = band[:, end - top :].clone()


def _band(network: Network, pixels: NDArray[np.uint8], lefts: list[int], weights: Tensor, tiling: Tiling) -> Tensor:
    """(C, h, W) logits of one row of tiles, blended from left to right."""
    height, side = len(pixels), weights.shape[1]
    at_once = max(1, tiling.pixels_at_once // (height * side))
    band: Tensor | None = None
    for first in range(0, len(lefts), at_once):
        places = lefts[first : first + at_once]
        logits = network(np.stack([pixels[:, left : left + side] for left in places]))
        if logits.shape[2:] != (height, side):
            logits = interpolate(logits, (height, side), mode="bilinear", align_corners=False)
        if band is None:
            band = logits.new_zeros(logits.shape[1], height, pixels.shape[1])
        for left, part, share in zip(places, logits, weights[first:].to(logits.device), strict=False):
            band[:, :, left : left + side] += part * share
    assert band is not None
    return band
