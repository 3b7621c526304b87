"""All layers of a model: its network, and the heads that run on regions."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from models.explaining.contact_sheet import ContactSheet
from models.explaining.filters import filter_sheet, first_convolution
from models.explaining.layers import Layer, watched_layers
from models.explaining.plain_model import PlainModel
from models.explaining.region_layers import region_layers


@dataclass(frozen=True, eq=False)
class NetworkLayers:
    """The layers of a model for one size of its input.

    Attributes:
        input_shape: (3, rows, columns).
        layers: In the order in which they run; those that run on regions come last.
        first: The first convolution; None where there is none.
        filters: Its filters; None likewise.
    """

    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    first: Layer | None
    filters: ContactSheet | None

    @property
    def parameters(self) -> int:
        """Number of weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)


def network_layers(plain: PlainModel, image: Tensor) -> NetworkLayers:
    """Runs a model once and lists its layers.

    Args:
        plain: The model.
        image: (1, 3, rows, columns), normalised.
    """
    network = plain.network.modules
    layers = (*watched_layers(network, image), *region_layers(plain.adapter))
    first = first_convolution(layers)
    return NetworkLayers(tuple(image.shape[1:]), layers, first, first and filter_sheet(network, first))


def blank_input(plain: PlainModel, size: tuple[int, int]) -> Tensor:
    """The network's input for a black image, (1, 3, rows, columns), normalised.

    Args:
        plain: The model.
        size: (rows, columns) in pixels.
    """
    return plain.network.normalised(np.zeros((1, *size, 3), np.uint8))
