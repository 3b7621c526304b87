"""Builds torchvision's detectors by name, without weights, so that a state dict can be loaded without pickle.

torchvision's own ``builder(weights=...)`` unpickles the file, which can run code. Built without weights, the networks
have ordinary batch norms where torchvision's own have frozen ones, which is the same in evaluation mode.
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
    """Removes the version from a published state dict, so that torchvision converts its old key names.

    The published files have names that torchvision has since changed, and frozen batch norms have no
    `num_batches_tracked`. The modules upgrade a state dict without a version themselves.

    Args:
        state: As published.

    Returns:
        The same tensors.
    """
    return dict(state)
