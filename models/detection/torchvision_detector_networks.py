"""torchvision's detectors, built by name and filled with a state dict that was read safely.

torchvision's own way, ``builder(weights=...)``, unpickles whatever the file holds. So the networks are built empty
here. Built so, they have ordinary batch norms where torchvision's own would have frozen ones, which is the same in
evaluation.
"""

# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping
from typing import Final

import torchvision.models
from torch import Tensor, nn
from torchvision.models import WeightsEnum

_EXACT_NORMS: Final = frozenset(
    {(f"{family}_resnet50_fpn", "COCO_V1") for family in ("fasterrcnn", "maskrcnn", "retinanet")}
)
"""Trained with batch norms that add no epsilon to the variance (`overwrite_eps` in torchvision's builders)."""


def build_torchvision_detector(weights: WeightsEnum, builder: str) -> nn.Module:
    """Builds a network without weights, shaped for a set of them.

    Args:
        weights: torchvision's own description of them.
        builder: Name of the function in `torchvision.models.detection`.

    Returns:
        The network, in training mode.
    """
    class_count = len(weights.meta["categories"])
    network = torchvision.models.get_model(builder, weights=None, weights_backbone=None, num_classes=class_count)
    if (builder, weights.name) in _EXACT_NORMS:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    return network


def without_version(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Lets an old state dict load.

    The published files have names that torchvision has since changed, and frozen batch norms count no batches. A state
    dict that does not say which version of the modules wrote it is brought up to date by the modules themselves.

    Args:
        state: As published.

    Returns:
        The same tensors.
    """
    return dict(state)
