"""The loss of a U-Net for one batch."""

from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.training.canvas import UNKNOWN_CLASS

_SMOOTHING: Final = 1.0
"""Pixels added to both sides of the Dice ratio, so that a class that is nowhere, and is seen nowhere, costs nothing."""


def segmentation_loss(logits: Tensor, class_maps: Tensor) -> dict[str, Tensor]:
    """Computes cross-entropy, for every pixel alike, and Dice loss (arXiv:1606.04797), for every class alike.

    Args:
        logits: (N, C, H, W).
        class_maps: (N, H, W) int64 from 0 to C − 1, or 255 where nothing is to be learned.

    Returns:
        `cross_entropy` and `dice`, to be added up; 0 where all pixels are unknown.
    """
    known = class_maps != UNKNOWN_CLASS
    logits = logits.float()
    loss = cross_entropy(logits, class_maps, ignore_index=UNKNOWN_CLASS, reduction="sum") / known.sum().clamp(min=1)
    shares = logits.softmax(1) * known[:, None]
    wanted = torch.zeros_like(shares).scatter_(1, (class_maps * known)[:, None], known[:, None].to(shares.dtype))
    shared, sizes = ((pair).sum((0, 2, 3))[1:] for pair in (shares * wanted, shares + wanted))
    return {"cross_entropy": loss, "dice": (1 - (2 * shared + _SMOOTHING) / (sizes + _SMOOTHING)).mean()}
