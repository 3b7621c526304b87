"""The loss of torchvision's Faster R-CNN for one batch."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.image_list import ImageList

from models.training.targets import Target


def faster_rcnn_loss(network: FasterRCNN, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """Computes the loss (arXiv:1506.01497, equation 1, for either stage).

    Crowds are not known to torchvision: regions there count as background.

    Args:
        network: In training mode; its own `transform` is not used.
        images: (N, 3, H, W), normalised, all of one size.
        targets: One for every image, boxes in pixels of the images.

    Returns:
        `loss_objectness` and `loss_rpn_box_reg` of the first stage, `loss_classifier` and `loss_box_reg` of the second.
    """
    features, proposals, sizes, ground_truth, first = first_stage(network, images, targets)
    _, second = network.roi_heads(features, proposals, sizes, ground_truth)
    return {**first, **second}


def first_stage(
    network: FasterRCNN, images: Tensor, targets: Sequence[Target], levels: Mapping[str, Tensor] | None = None
) -> tuple[dict[str, Tensor], list[Tensor], list[tuple[int, int]], list[dict[str, Tensor]], dict[str, Tensor]]:
    """Computes what both kinds of network begin with.

    Args:
        network: As for `faster_rcnn_loss`.
        images: Likewise.
        targets: Likewise.
        levels: Feature maps by level, where the backbone has seen the images already.

    Returns:
        The features by level, the proposed boxes of each image, the images' sizes, the targets as torchvision takes
        them, and the losses of the first stage.
    """
    ground_truth = [{"boxes": target.boxes, "labels": target.class_ids + 1, "masks": target.ids} for target in targets]
    height, width = images.shape[2:]
    batch = ImageList(images, [(int(height), int(width))] * len(images))
    found = network.backbone(images) if levels is None else levels
    features = {name: level.float() for name, level in found.items()}
    proposals, losses = network.rpn(batch, features, ground_truth)
    with torch.no_grad():
        proposals = [boxes.float() for boxes in proposals]
    return features, proposals, batch.image_sizes, ground_truth, losses
