"""The loss of a Mask R-CNN for one batch."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.models.detection.mask_rcnn import MaskRCNN
from torchvision.models.detection.roi_heads import fastrcnn_loss

from models.training.faster_rcnn_loss import first_stage
from models.training.targets import Target

_SAMPLES: Final = 2
"""Points a side that are looked at in each cell of a mask."""
_MOST_REGIONS: Final = 32
"""Regions of an image that masks are learned from, drawn at random."""


def mask_rcnn_loss(
    network: MaskRCNN, images: Tensor, targets: Sequence[Target], levels: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Computes the loss (arXiv:1703.06870, section 3).

    Objects without a mask teach boxes only. Crowds are background, as for `faster_rcnn_loss`.

    Args:
        network: In training mode; its own `transform` is not used.
        images: (N, 3, H, W), normalised, all of one size.
        targets: One for every image, boxes in pixels of the images.
        levels: Feature maps by level, where the backbone has seen the images already.

    Returns:
        As `models.training.faster_rcnn_loss.faster_rcnn_loss`, and `loss_mask`.
    """
    heads: Any = network.roi_heads
    features, proposals, sizes, ground_truth, first = first_stage(network, images, targets, levels)
    regions, matched, labels, deltas = heads.select_training_samples(proposals, ground_truth)
    logits, found = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, regions, sizes)))
    class_loss, box_loss = fastrcnn_loss(logits, found, labels, deltas)

    chosen = [
        _some(torch.where((own > 0) & _masked(target, match))[0])
        for own, match, target in zip(labels, matched, targets, strict=True)
    ]
    boxes = [own[index] for own, index in zip(regions, chosen, strict=True)]
    pooled = heads.mask_roi_pool(features, boxes, sizes)
    masks = heads.mask_predictor(heads.mask_head(pooled)).float()
    classes = torch.cat([own[index] for own, index in zip(labels, chosen, strict=True)])
    wanted = torch.cat(
        [
            cut_masks(target.ids, own, match[index] + 1, masks.shape[-1])
            for target, own, match, index in zip(targets, boxes, matched, chosen, strict=True)
        ]
    )
    own_masks = masks[torch.arange(len(classes), device=classes.device), classes]
    mask_loss = binary_cross_entropy_with_logits(own_masks, wanted, reduction="sum") / max(1, wanted.numel())
    return {**first, "loss_classifier": class_loss, "loss_box_reg": box_loss, "loss_mask": mask_loss}


def cut_masks(ids: Tensor, boxes: Tensor, numbers: Tensor, side: int) -> Tensor:
    """Cuts the masks of objects out of an id map, each at its box.

    Args:
        ids: (H, W), see `Target.ids`.
        boxes: (P, 4) x_min, y_min, x_max, y_max in its pixels.
        numbers: (P,) int64, the number of each box's object.
        side: Of the masks, in cells.

    Returns:
        (P, side, side) float32, the share of each cell that the object covers, 0 to 1.
    """
    points = side * _SAMPLES
    steps = (torch.arange(points, device=boxes.device) + 0.5) / points
    columns = (boxes[:, :1] + steps * (boxes[:, 2:3] - boxes[:, :1])).long().clamp(0, ids.shape[1] - 1)
    rows = (boxes[:, 1:2] + steps * (boxes[:, 3:] - boxes[:, 1:2])).long().clamp(0, ids.shape[0] - 1)
    inside = (ids[rows[:, :, None], columns[:, None]] == numbers[:, None, None]).float()
    return inside.view(len(boxes), side, _SAMPLES, side, _SAMPLES).mean((2, 4))


def _masked(target: Target, match: Tensor) -> Tensor:
    """Which regions are matched with an object that has a mask."""
    return target.masked[match] if len(target.masked) else torch.zeros_like(match, dtype=torch.bool)


def _some(indices: Tensor) -> Tensor:
    if len(indices) <= _MOST_REGIONS:
        return indices
    return indices[torch.randperm(len(indices), device=indices.device)[:_MOST_REGIONS]]
