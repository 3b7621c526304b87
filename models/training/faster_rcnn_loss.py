"""What a two-stage detector of torchvision learns from: the loss of one batch."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection.faster_rcnn import FasterRCNN
from torchvision.models.detection.image_list import ImageList

from models.training.yolox_loss import Target


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
    truths = [{"boxes": target.boxes, "labels": target.class_ids + 1} for target in targets]
    height, width = images.shape[2:]
    batch = ImageList(images, [(int(height), int(width))] * len(images))
    features = network.backbone(images)
    features = {name: level.float() for name, level in features.items()}
    proposals, first = network.rpn(batch, features, truths)
    with torch.no_grad():
        proposals = [boxes.float() for boxes in proposals]
    _, second = network.roi_heads(features, proposals, batch.image_sizes, truths)
    return {**first, **second}
