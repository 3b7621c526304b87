"""Adapts classifiers to images of 28 or 32 pixels by setting the stride of their first layers to 1.

A network for 224 pixels has a total stride of 32, so that of 32 x 32 pixels a single cell is left. For CIFAR-10 the
residual networks had stems of stride 1 (arXiv:1512.03385, section 4.2). Here the first one or two layers of stride 2
get stride 1: the weights keep their shapes, so that training may start from ImageNet's.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final, cast

from torch import nn

from models.classification.small_networks import SMALL_NETWORKS

FINENESS: Final = (1, 2, 4)
"""Factors by which the resolution of feature maps may be increased."""

_ENOUGH: Final = 96
"""Image side in pixels from which strides stay unchanged: three cells a side are left."""
_ENOUGH_FOR_TWICE: Final = 48
_LEAST: Final = 16
_LEAST_OF_OTHERS: Final = 64
_LEAST_BY_NAME: Final = {"inception_v3": 75}
"""torchvision's minimum image size (`meta["min_size"]` of its weights)."""
_ADAPTABLE: Final = (
    "densenet",
    "efficientnet",
    "googlenet",
    "mnasnet",
    "mobilenet",
    "resnet",
    "resnext",
    "shufflenet",
    "squeezenet",
    "wide_resnet",
)
"""Families whose first two layers of stride 2 are sequential, without a parallel branch that has to change too."""


def can_be_finer(architecture: str) -> bool:
    """Returns whether an architecture supports a finer stride for small images.

    Args:
        architecture: One of `models.classification.architectures.known_classifiers()`.
    """
    return architecture not in SMALL_NETWORKS and architecture.rpartition("/")[2].startswith(_ADAPTABLE)


def least_size(architecture: str) -> int:
    """The smallest side of an image that a network can be trained for, in pixels."""
    if architecture in SMALL_NETWORKS:
        return SMALL_NETWORKS[architecture].least_size
    if can_be_finer(architecture):
        return _LEAST
    return _LEAST_BY_NAME.get(architecture.rpartition("/")[2], _LEAST_OF_OTHERS)


def fineness_for(architecture: str, size: int) -> int:
    """Chooses the fineness for images of a size: how many times the resolution of feature maps is increased.

    Args:
        architecture: As for `can_be_finer`.
        size: Side of its images in pixels.

    Returns:
        One of `FINENESS`.
    """
    if size >= _ENOUGH or not can_be_finer(architecture):
        return 1
    return 2 if size >= _ENOUGH_FOR_TWICE else 4


def make_finer(network: nn.Module, fineness: int) -> None:
    """Sets the stride of the first layers of a network to 1, in place.

    Args:
        network: Of an architecture that can be finer.
        fineness: One of `FINENESS`.

    Raises:
        ValueError: The fineness is none of these, or the network has too few layers of stride 2.
    """
    if fineness not in FINENESS:
        raise ValueError(f"fineness must be 1, 2 or 4, not {fineness}")
    wanted = FINENESS.index(fineness)
    modules = cast("Iterator[tuple[str, nn.Module]]", network.named_modules())
    halving = list(islice(((name, module) for name, module in modules if _halves(module)), wanted))
    if len(halving) < wanted:
        raise ValueError(f"this network has {len(halving)} layers that halve the resolution, not {wanted}")
    for name, module in halving:
        if isinstance(module, nn.Conv2d):
            module.stride = (1, 1)
        else:
            network.set_submodule(name, nn.Identity())


def _halves(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.stride == (2, 2) and module.kernel_size != (1, 1)
    return isinstance(module, nn.MaxPool2d) and module.stride in (2, (2, 2))
