"""Builds torchvision's semantic segmenters (FCN, arXiv:1411.4038; DeepLabV3, arXiv:1706.05587; LR-ASPP,
arXiv:1905.02244) by name, and wraps them as networks from images to logits."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping
from typing import Any, Final

import torchvision.models
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.segmentation import LRASPP

_WITHOUT_AUXILIARY_HEAD: Final = frozenset({"lraspp_mobilenet_v3_large"})


def build_torchvision_segmenter(weights: WeightsEnum, builder: str) -> nn.Module:
    """Builds a network without weights, shaped for a set of them.

    Args:
        weights: torchvision's own description of them.
        builder: Name of the function in `torchvision.models.segmentation`.

    Returns:
        The network, in training mode and with its auxiliary head, if it has any.
    """
    arguments: dict[str, Any] = {} if builder in _WITHOUT_AUXILIARY_HEAD else {"aux_loss": True}
    class_count = len(weights.meta["categories"])
    return torchvision.models.get_model(
        builder, weights=None, weights_backbone=None, num_classes=class_count, **arguments
    )


def build_segmenter_for_card(
    builder: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> "ClassScores":
    """Builds a segmenter for classes of the user's own, with random weights.

    Args:
        builder: Name of the function in `torchvision.models.segmentation`.
        class_count: Number of classes, with the background.
        arguments: For the builder.

    Returns:
        The network, in training mode and without an auxiliary head.

    Raises:
        TypeError, ValueError: The builder does not take such arguments.
    """
    options: dict[str, Any] = {"weights": None, "weights_backbone": None, **arguments, "num_classes": class_count}
    return ClassScores(torchvision.models.get_model(builder, **options))


class ClassScores(nn.Module):
    """Logits of a torchvision semantic segmenter before its bilinear upsampling to the size of the input.

    torchvision upsamples them 8 or 16 times, into 30 MB for one photo. Here they are resized once, directly to the
    size of the original image.

    Args:
        network: Of torchvision, its weights loaded; its auxiliary head is left out.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        parts: Any = network
        self.backbone: nn.Module = parts.backbone
        self.classifier: nn.Module = parts.classifier
        self._takes_two_levels = isinstance(network, LRASPP)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W), normalised, to (N, C, h, w) logits, coarser, which cover the whole image."""
        features = self.backbone(images)
        return self.classifier(features if self._takes_two_levels else features["out"])
