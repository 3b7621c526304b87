"""The loss of a Keypoint R-CNN for one batch of photos."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN
from torchvision.models.detection.roi_heads import fastrcnn_loss

from models.pose.heat_maps import in_cells, regions_around
from models.training.faster_rcnn_loss import first_stage
from models.training.keypoint_loss import keypoint_loss
from models.training.targets import Target

JITTER: Final = 0.12
"""The edges of a box move by at most this share of its sides, as those of found boxes do."""
_MOST_OBJECTS: Final = 10
"""Objects of an image that key points are learned from, drawn at random."""


def keypoint_rcnn_loss(network: KeypointRCNN, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """Computes the loss (arXiv:1703.06870, section 5).

    Objects without a labelled key point teach boxes only. Crowds are background, as for `faster_rcnn_loss`. Key points
    are learned near the annotated boxes and not in proposals: the branch is served with final boxes, which are closer.

    Args:
        network: In training mode; its own `transform` is not used.
        images: (N, 3, H, W), normalised, all of one size.
        targets: One for every image, boxes and key points in pixels of the images.

    Returns:
        As `models.training.faster_rcnn_loss.faster_rcnn_loss`, and the members of
        `models.training.keypoint_loss.keypoint_loss`.
    """
    heads: Any = network.roi_heads
    features, proposals, sizes, ground_truth, first = first_stage(network, images, targets)
    regions, _, labels, deltas = heads.select_training_samples(proposals, ground_truth)
    logits, found = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, regions, sizes)))
    class_loss, box_loss = fastrcnn_loss(logits, found, labels, deltas)
    losses = {**first, "loss_classifier": class_loss, "loss_box_reg": box_loss}

    chosen = [_some_labelled(target.key_points) for target in targets]
    margin: float = getattr(network, "region_margin", 0.0)
    around = [regions_around(jittered(target.boxes[own]), margin) for target, own in zip(targets, chosen, strict=True)]
    points = torch.cat([target.key_points[own] for target, own in zip(targets, chosen, strict=True)])
    if len(points) < 2:  # batch norms need two
        return losses
    maps = heads.keypoint_predictor(heads.keypoint_head(heads.keypoint_roi_pool(features, around, sizes)))
    cells = in_cells(points[..., :2], torch.cat(around), maps.shape[-1])
    return {**losses, **keypoint_loss(maps, torch.cat([cells, points[..., 2:]], -1))}


def jittered(boxes: Tensor) -> Tensor:
    """Moves the edges of boxes (R, 4) at random, each by up to `JITTER` of the box's side."""
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + torch.empty_like(boxes).uniform_(-JITTER, JITTER) * sides


def _some_labelled(key_points: Tensor) -> Tensor:
    """The indices of objects with key points, at most `_MOST_OBJECTS` of them."""
    indices = torch.where((key_points[..., 2] > 0).any(1))[0]
    return indices[torch.randperm(len(indices), device=indices.device)[:_MOST_OBJECTS]]
