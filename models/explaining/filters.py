"""The filters of a network's first layer as pictures."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.explaining.contact_sheet import ContactSheet, contact_sheet
from models.explaining.layers import Layer

_LEAST_WEIGHT: Final = 1e-12
"""A filter whose weights are all smaller is grey."""


def first_convolution(layers: Sequence[Layer]) -> Layer | None:
    """The first convolution of a network; None where there is none.

    Args:
        layers: Of the network, in the order in which they run.
    """
    return next((layer for layer in layers if layer.is_convolution), None)


def filter_pictures(network: nn.Module, layer: Layer) -> list[NDArray[np.uint8]]:
    """The kernels of a convolution as pictures: zero is grey, and the largest weight of a filter dark or bright.

    Args:
        network: The network.
        layer: One of its convolutions.

    Returns:
        For each filter (kernel height, kernel width, 3) uint8: R, G and B of three input channels, otherwise the mean
        over all of them in grey. Upright: turned back where the network turns its input.
    """
    weights: Tensor = network.get_parameter(f"{layer.name}.weight").detach().float().cpu()
    if weights.ndim == 3:
        weights = weights[:, :, None]
    if layer.receptive_field is not None:
        weights = weights.flip([2 + axis for axis in layer.receptive_field.turned_axes])
    if weights.shape[1] != 3:
        weights = weights.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    largest = weights.abs().amax((1, 2, 3), keepdim=True).clamp(min=_LEAST_WEIGHT)
    shades = (127.5 + 127.5 * weights / largest).round().to(torch.uint8)
    return list(shades.permute(0, 2, 3, 1).numpy())


def filter_sheet(network: nn.Module, layer: Layer) -> ContactSheet:
    """Draws the filters of a convolution on one sheet, with their numbers.

    Args:
        network: The network.
        layer: One of its convolutions.
    """
    pictures = filter_pictures(network, layer)
    return contact_sheet(pictures, range(len(pictures)))
