"""Decodes the raw feature maps of a YOLOX head to boxes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.detection.yolox import STRIDES

_LARGEST_LOG_SIZE = 10.0
"""Sizes of boxes are clamped at 22,000 cells, so that the exponential does not overflow."""


def cells(levels: Sequence[Tensor]) -> Tensor:
    """Returns the grid coordinates and strides of the cells of all levels.

    Args:
        levels: The raw maps, (N, any, H / stride, W / stride) for each of `STRIDES`.

    Returns:
        (A, 3) float32: column and row of the cell, and the stride of its level, level by level, row by row.
    """
    parts: list[Tensor] = []
    for stride, level in zip(STRIDES, levels, strict=True):
        rows, columns = torch.meshgrid(
            torch.arange(level.shape[2], device=level.device, dtype=torch.float32),
            torch.arange(level.shape[3], device=level.device, dtype=torch.float32),
            indexing="ij",
        )
        parts.append(torch.stack([columns.ravel(), rows.ravel(), torch.full_like(rows, stride).ravel()], 1))
    return torch.cat(parts)


def flatten(levels: Sequence[Tensor]) -> Tensor:
    """Concatenates the cells of all levels.

    Args:
        levels: As for `cells`.

    Returns:
        (N, A, 5 + class_count) float32, in the order of `cells`.
    """
    return torch.cat([level.flatten(2).transpose(1, 2).float() for level in levels], 1)


def boxes_of(raw: Tensor, places: Tensor) -> Tensor:
    """Decodes boxes.

    Args:
        raw: (..., A, at least 4); the first four are the box: its centre from the cell's corner, in cells, and the
            logarithm of its width and height in cells.
        places: (..., A, 3) from `cells`.

    Returns:
        (..., A, 4) x_min, y_min, x_max, y_max in pixels of the network's input.
    """
    stride = places[..., 2:]
    centre = (raw[..., :2] + places[..., :2]) * stride
    half = raw[..., 2:4].clamp(max=_LARGEST_LOG_SIZE).exp() * stride / 2
    return torch.cat([centre - half, centre + half], -1)
