"""Builds torchvision's detectors by name, without weights, so that a state dict can be loaded without pickle.

torchvision's own ``builder(weights=...)`` unpickles the file, which can run code. Built without weights, the networks
have ordinary batch norms where torchvision's own have frozen ones, which is the same in evaluation mode.
"""

# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping
from typing import Any, Final

import torchvision.models
from torch import Tensor, nn
from torchvision.models import WeightsEnum

FIRST_LABEL: Final = 1
"""The label of class id 0 in networks that were trained with torchvision: 0 is the background."""
_EXACT_NORMS: Final = frozenset(
    {(f"{family}_resnet50_fpn", "COCO_V1") for family in ("fasterrcnn", "keypointrcnn", "maskrcnn", "retinanet")}
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
        _set_norm_eps(network, 0.0)
    return network


def build_torchvision_for_card(
    builder: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a detector or a Mask R-CNN for classes of the user's own, with random weights.

    Args:
        builder: Name of the function in `torchvision.models.detection`.
        class_count: Number of classes, without the background.
        arguments: For the builder, and two more: `first_label`, the network's label of class id 0, 1 by default as in
            torchvision's own training, where the background counts; and `norm_eps`, which batch norms add to the
            variance, 0 for networks that began from torchvision's weights of kind `COCO_V1` with frozen norms.

    Returns:
        The network, in training mode.

    Raises:
        TypeError, ValueError: The builder does not take such arguments.
    """
    options: dict[str, Any] = dict(arguments)
    first_label, norm_eps = options.pop("first_label", FIRST_LABEL), options.pop("norm_eps", None)
    if first_label not in (0, 1):
        raise ValueError(f"first_label must be 0 or 1, not {first_label}")
    options = {"weights": None, "weights_backbone": None, **options, "num_classes": class_count + first_label}
    network = torchvision.models.get_model(builder, **options)
    if norm_eps is not None:
        _set_norm_eps(network, norm_eps)
    return network


def has_exact_norms(builder: str) -> bool:
    """Whether torchvision's recommended weights of a detector were trained with batch norms that add no epsilon."""
    return (builder, "COCO_V1") in _EXACT_NORMS


def _set_norm_eps(network: nn.Module, eps: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


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
