"""Builds torchvision's classifiers by name, without weights, so that a state dict can be loaded without pickle.

torchvision's own ``builder(weights=...)`` unpickles the file, which can run code. Building without weights needs the
few arguments that torchvision's builders derive from the weights.
"""

# pyright: reportMissingTypeStubs=false

import re
from collections.abc import Mapping
from typing import Any, Final

import torchvision.models
from torch import Tensor, nn
from torchvision.models import WeightsEnum

_WITH_AUXILIARY_HEADS: Final = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
_OLD_DENSENET_KEY: Final = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\..*)$")


def build(weights: WeightsEnum, builder: str) -> nn.Module:
    """Builds a network without weights, shaped for a set of them.

    Args:
        weights: torchvision's own description of them.
        builder: Name of the function in `torchvision.models`.

    Returns:
        The network, in training mode and with its auxiliary heads, if it has any.
    """
    arguments: dict[str, Any] = {"num_classes": len(weights.meta["categories"])}
    if builder in _WITH_AUXILIARY_HEADS:
        arguments |= {"transform_input": True, "aux_logits": True, "init_weights": False}
    if builder.startswith("vit_"):
        arguments["image_size"] = weights.meta["min_size"][0]
    return torchvision.models.get_model(builder, weights=None, **arguments)


def current_keys(state: Mapping[str, Tensor], builder: str) -> dict[str, Tensor]:
    """Renames the keys of a published state dict to those of the installed torchvision.

    Args:
        state: As published; DenseNet's is older than its code (`norm.1` for `norm1`).
        builder: Name of the function in `torchvision.models`.

    Returns:
        The same tensors under the current names.
    """
    if not builder.startswith("densenet"):
        return dict(state)
    return {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in state.items()}


def drop_auxiliary_heads(network: nn.Module, builder: str) -> None:
    """Removes the auxiliary heads, which only training uses.

    Args:
        network: From `build`, its weights loaded.
        builder: Name of the function in `torchvision.models`.
    """
    for head in _WITH_AUXILIARY_HEADS.get(builder, ()):
        setattr(network, head, None)
        network.__dict__["aux_logits"] = False
