"""The loss of heat maps of key points."""

# pyright: reportUnknownMemberType=false

from typing import Final

import torch
from torch import Tensor

_SPREAD: Final = 0.75
"""Standard deviation of the target around a labelled point, in cells of 1/28 of the region's side."""
_UNLABELLED_WEIGHT: Final = 0.1
"""Of a point that is not labelled, against one that is."""


def keypoint_loss(logits: Tensor, points: Tensor) -> dict[str, Tensor]:
    """Computes the cross-entropy over the positions of each heat map (arXiv:1703.06870, section 5).

    The paper's target is one cell; here it is a Gaussian around the labelled point, which a network learns from
    fewer people. A point that is not labelled is mostly not to be seen, so its target is that every cell is as likely:
    then its score is low (`models.pose.heat_maps.scores_of`).

    Args:
        logits: (R, K, S, S).
        points: (R, K, 3): x and y in cells, see `models.pose.heat_maps.in_cells`, and COCO's visibility.

    Returns:
        `loss_keypoint`, the mean of the labelled points within their region, and `loss_unlabelled`.
    """
    side = logits.shape[-1]
    likely = logits.float().flatten(2).log_softmax(2).view_as(logits)
    places, seen = points[..., :2], points[..., 2] > 0
    inside = seen & (places >= 0).all(-1) & (places < side).all(-1)
    across, down = (_spread(places[..., axis], side) for axis in (0, 1))
    with torch.autocast(logits.device.type, enabled=False):  # or the sums are rounded to three digits
        losses = -torch.einsum("rky,rkyx,rkx->rk", down, likely, across)
    known = (losses * inside).sum() / inside.sum().clamp(min=1)
    unknown = (-likely.mean((2, 3)) * ~seen).sum() / (~seen).sum().clamp(min=1)
    return {"loss_keypoint": known, "loss_unlabelled": _UNLABELLED_WEIGHT * unknown}


def _spread(centres: Tensor, side: int) -> Tensor:
    """(R, K) places to (R, K, S) shares of the cells, which sum to 1."""
    distances = torch.arange(side, device=centres.device) + 0.5 - centres[..., None].clamp(0, side)
    shares = (-(distances**2) / (2 * _SPREAD**2)).exp()
    return shares / shares.sum(-1, keepdim=True)
