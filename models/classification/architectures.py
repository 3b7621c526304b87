"""Registry of the classification architectures that a model card can name."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Mapping
from typing import Any, Final

import torchvision.models
from torch import nn

from models.classification.efficientnet_lite import EfficientNetLite
from models.classification.small_inputs import make_finer
from models.classification.small_networks import SMALL_NETWORKS
from models.classification.timm_networks import build_timm, is_timm
from models.classification.torchvision_networks import drop_auxiliary_heads
from models.sources.torchvision_manifest import PREFIX, torchvision_builders

EFFICIENTNET_LITE0: Final = "efficientnet-lite0"
_ALWAYS: Final[Mapping[str, Mapping[str, Any]]] = {
    "googlenet": {"transform_input": True, "init_weights": False},
    "inception_v3": {"transform_input": True, "init_weights": False},
}
"""Keyword arguments that torchvision's builders set when weights are loaded, from which fine-tuning starts."""


def known_classifiers() -> tuple[str, ...]:
    """Lists the architectures, without those of timm (``timm/<name>``)."""
    published = (f"{PREFIX}{builder}" for builder in torchvision_builders("classification"))
    return (EFFICIENTNET_LITE0, *SMALL_NETWORKS, *published)


def is_classifier(architecture: str) -> bool:
    """Returns whether a card can name an architecture: one of `known_classifiers()`, or any of timm's."""
    return architecture in known_classifiers() or is_timm(architecture)


def build_classifier(
    architecture: str, class_count: int, arguments: Mapping[str, int | float | str | bool]
) -> nn.Module:
    """Builds a classifier, with random weights.

    Args:
        architecture: One of `known_classifiers()`, or ``timm/<name>``.
        class_count: Number of classes.
        arguments: For the builder; `fineness` is for `models.classification.small_inputs.make_finer`.

    Returns:
        The network, from (N, 3, H, W) to (N, class_count) logits, without the heads that only training uses.

    Raises:
        KeyError: There is no such architecture.
        TypeError, ValueError: The builder does not take such arguments.
    """
    options: dict[str, Any] = dict(arguments)
    fineness = options.pop("fineness", 1)
    network = _build(architecture, class_count, options)
    make_finer(network, fineness)
    return network


def _build(architecture: str, class_count: int, options: Mapping[str, Any]) -> nn.Module:
    if architecture == EFFICIENTNET_LITE0:
        return EfficientNetLite(class_count, **options)
    if architecture in SMALL_NETWORKS:
        return SMALL_NETWORKS[architecture].build(class_count, **options)
    if is_timm(architecture):
        return build_timm(architecture, class_count, options)
    if architecture not in known_classifiers():
        raise KeyError(architecture)
    builder = architecture.removeprefix(PREFIX)
    options = {**_ALWAYS.get(builder, {}), **options, "num_classes": class_count}
    network = torchvision.models.get_model(builder, weights=None, **options)
    drop_auxiliary_heads(network, builder)
    return network
