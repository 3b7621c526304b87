"""Heat maps of key points: regions around boxes, and from heat maps to points with scores."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, cast

import torch
from torch import Tensor
from torchvision.models.detection import roi_heads

_heatmaps_to_keypoints: Any = cast(Any, roi_heads).heatmaps_to_keypoints
_NEAR: Final = 1 / 28
"""Reach around the greatest cell within which probabilities are added to a score, as a share of the region's side:
about what people's own annotations of hips and knees differ by."""


_MOST_SIDE: Final = 224
"""Heat maps are enlarged to regions of at most so many pixels a side: eight to a cell of 28. Where a region is larger,
that is finer than people annotate, and enlarging to all of its pixels would take a quarter of a second an object."""


class HeatMaps(NamedTuple):
    """The heat maps of the objects of an image, on the CPU.

    Attributes:
        logits: (N, K, S, S) float32, of the softmax over the S × S cells.
        regions: (N, 4) float32 that they cover, in pixels of the network's input.
        areas: (N,) float32 in square pixels, where places are those of the greatest expected similarity; None where
            they are the greatest of each heat map, as in torchvision.
    """

    logits: Tensor
    regions: Tensor
    areas: Tensor | None

    def points(self, sigmas: Sequence[float]) -> tuple[Tensor, Tensor]:
        """Finds the key points: (N, K, 2) in pixels of the network's input, and (N, K) scores in [0, 1]."""
        if self.areas is None:
            return points_in(self.logits, self.regions)
        return expected_points(self.logits, self.regions, self.areas, sigmas)


def regions_around(boxes: Tensor, margin: float) -> Tensor:
    """Enlarges boxes to the regions that the branch pools.

    Args:
        boxes: (R, 4) x_min, y_min, x_max, y_max in pixels of the network's input.
        margin: By how much on each side, as a share of the box's side.

    Returns:
        (R, 4), which may reach beyond the input.
    """
    if not margin:
        return boxes
    reach = margin * (boxes[:, 2:] - boxes[:, :2])
    return torch.cat([boxes[:, :2] - reach, boxes[:, 2:] + reach], 1)


def in_cells(points: Tensor, regions: Tensor, side: int) -> Tensor:
    """Maps points to the heat map of a region, the inverse of `points_in`.

    Args:
        points: (R, K, 2) in pixels.
        regions: (R, 4) in the same pixels.
        side: S, of the heat map in cells.

    Returns:
        (R, K, 2): 0 to S within the region; the centre of the first cell is at 0.5.
    """
    low, high = regions[:, None, :2], regions[:, None, 2:]
    return (points - low) / (high - low) * side


def points_in(logits: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Finds the key points of regions: the greatest place of each heat map, enlarged to the size of the region.

    In regions of up to 224 pixels a side the places equal those of torchvision (`heatmaps_to_keypoints`), which resizes
    by bicubic interpolation; in larger ones the heat map is enlarged to 224.

    Args:
        logits: (R, K, S, S) float32, of the softmax over the S × S cells.
        regions: (R, 4) float32 in pixels.

    Returns:
        (R, K, 2) float32, x and y in the same pixels, and (R, K) float32 scores, see `scores_of`.
    """
    if not len(logits):
        return logits.new_zeros(0, logits.shape[1], 2), logits.new_zeros(0, logits.shape[1])
    return _greatest(logits, regions), scores_of(logits)


def expected_points(logits: Tensor, regions: Tensor, areas: Tensor, sigmas: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Finds the places of the greatest expected similarity, by the distribution that the heat maps are.

    The similarity of a place x with the true one y is that of OKS, exp(-|x - y|² / (2 s² (2 σ)²)); its expectation is
    the heat map, smoothed by this kernel. Where several cells are about as likely, that is a place near most of them.

    Args:
        logits: (R, K, S, S) float32, of the softmax over the S × S cells.
        regions: (R, 4) float32 in pixels.
        areas: (R,) float32, s², of the objects in square pixels.
        sigmas: K, σ of the skeleton.

    Returns:
        (R, K, 2) float32, x and y in pixels, and (R, K) float32 in [0, 1], the expected similarities there.
    """
    if not len(logits):
        return points_in(logits, regions)
    side = logits.shape[-1]
    shares = logits.flatten(2).softmax(2).view_as(logits)
    spread = 2 * torch.tensor(sigmas) * areas.sqrt()[:, None]
    cells = (regions[:, 2:] - regions[:, :2]).clamp(min=1e-3) / side
    across, down = (_kernel(spread / cells[:, axis, None], side) for axis in (0, 1))
    expected = torch.einsum("rkya,rkab,rkxb->rkyx", down, shares, across)
    return _greatest(expected, regions), expected.flatten(2).amax(2).clamp(0, 1)


def _greatest(maps: Tensor, regions: Tensor) -> Tensor:
    """(R, K, 2): the greatest place of each map, enlarged to its region or, where that is large, to `_MOST_SIDE`."""
    starts, sizes = regions[:, :2], regions[:, 2:] - regions[:, :2]
    small = sizes.clamp(max=_MOST_SIDE)
    found, _ = _heatmaps_to_keypoints(maps, torch.cat([starts, starts + small], 1))
    scale = torch.where(sizes > small, sizes / small, torch.ones_like(sizes))
    return starts[:, None] + (found[:, :, :2] - starts[:, None]) * scale[:, None]


def _kernel(spread: Tensor, side: int) -> Tensor:
    """(R, K) standard deviations in cells to (R, K, S, S) similarities of every two cells along an axis."""
    places = torch.arange(side, dtype=torch.float32)
    apart = (places[:, None] - places) ** 2
    return (-apart / (2 * spread[..., None, None] ** 2).clamp(min=1e-6)).exp()


def scores_of(logits: Tensor) -> Tensor:
    """The probability that a key point is where its heat map is greatest, or within 1/28 of the side of that.

    The softmax over the cells is the distribution that the branch learned (arXiv:1703.06870, section 5). Of a point
    that a network is sure of nearly all of it lies around one cell; of a point that it does not see it is spread.

    Args:
        logits: (R, K, S, S).

    Returns:
        (R, K) in [0, 1].
    """
    regions, points, side, _ = logits.shape
    shares = logits.flatten(2).softmax(2)
    best = shares.argmax(2)
    rows, columns = best // side, best % side
    places = torch.arange(side, device=logits.device)
    reach = max(1, round(_NEAR * side))
    near_rows = ((places - rows[..., None]).abs() <= reach).to(shares.dtype)
    near_columns = ((places - columns[..., None]).abs() <= reach).to(shares.dtype)
    maps = shares.view(regions, points, side, side)
    return torch.einsum("rky,rkyx,rkx->rk", near_rows, maps, near_columns).clamp(0, 1)
