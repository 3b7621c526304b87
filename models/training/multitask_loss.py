"""The loss of a multi-task network for one batch: the sum of the losses of its heads."""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from models.multitask.counts import count_class
from models.multitask.network import MultitaskRcnn, summary
from models.training.mask_rcnn_loss import mask_rcnn_loss
from models.training.segmentation_loss import segmentation_loss
from models.training.targets import Target

_COUNT_WEIGHT: Final = 0.5


def multitask_loss(network: MultitaskRcnn, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """Computes the losses of all heads; the trunk runs once.

    Args:
        network: In training mode.
        images: (N, 3, H, W), normalised, all of one size.
        targets: One for every image, boxes in pixels of the images. The class of an image is the number of its boxes,
            see `models.multitask.counts`.

    Returns:
        As `models.training.mask_rcnn_loss.mask_rcnn_loss` and `models.training.segmentation_loss.segmentation_loss`,
        and `loss_count`.
    """
    tapped = network.tapped(images)
    levels = network.levels(tapped)
    return {
        **mask_rcnn_loss(network, images, targets, levels),
        **_other_heads(network, images, targets, tapped, levels),
    }


def heads_loss(network: MultitaskRcnn, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """Computes the losses of the semantic and the classification head alone.

    Everything else runs without gradients and as in prediction, so that neither its weights nor the statistics of its
    batch norms change: boxes and masks of objects stay what they are.

    Args:
        network: In training mode; all but the two heads leaves it.
        images: As for `multitask_loss`.
        targets: Likewise.

    Returns:
        As `models.training.segmentation_loss.segmentation_loss`, and `loss_count`.
    """
    for part in (network.backbone, network.rpn, network.roi_heads):
        part.eval()
    with torch.no_grad():
        tapped = network.tapped(images)
        levels = network.levels(tapped)
    return _other_heads(network, images, targets, tapped, levels)


def _other_heads(
    network: MultitaskRcnn,
    images: Tensor,
    targets: Sequence[Target],
    tapped: Sequence[Tensor],
    levels: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    found = network.semantic(tapped).float()
    logits = interpolate(found, size=images.shape[2:], mode="bilinear", align_corners=False)
    class_maps = torch.stack([target.class_map for target in targets]).long()
    counts = torch.tensor([count_class(len(target.boxes)) for target in targets], device=images.device)
    logits_of_counts = network.counting(summary(list(levels.values())), network.box_scores(images, levels))
    loss_count = cross_entropy(logits_of_counts.float(), counts)
    return {**segmentation_loss(logits, class_maps), "loss_count": _COUNT_WEIGHT * loss_count}
