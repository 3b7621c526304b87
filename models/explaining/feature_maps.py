"""The feature maps of a layer for one image."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.explaining.colours import heat_colours
from models.explaining.layers import Layer, watched_layers

_LEAST_SPREAD: Final = 1e-12
"""A map whose values differ by less is drawn as zero."""


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The output of a layer for one image.

    Attributes:
        layer: The layer; None of a block of several.
        values: (C, H, W) float32, upright: turned back where the network turns its input. Of a signal H is 1.
    """

    layer: Layer | None
    values: NDArray[np.float32]

    def strongest(self, count: int) -> list[int]:
        """The channels whose values vary most over the image.

        Args:
            count: The most channels.

        Returns:
            Their indices, the largest standard deviation first.
        """
        spread = self.values.reshape(len(self.values), -1).std(1)
        return [int(channel) for channel in np.argsort(-spread, kind="stable")[:count]]

    def picture(self, channel: int) -> NDArray[np.uint8]:
        """A map as a picture: its lowest value dark, its highest bright.

        Args:
            channel: Index of the channel.

        Returns:
            (H, W, 3) uint8 RGB.
        """
        values = self.values[channel]
        spread = float(values.max() - values.min())
        return heat_colours((values - values.min()) / spread if spread > _LEAST_SPREAD else np.zeros_like(values))


def feature_maps(network: nn.Module, image: Tensor, name: str, call: int = 1) -> FeatureMaps:
    """Runs a network on an image and keeps the output of one layer.

    Args:
        network: In evaluation mode; it is not changed.
        image: (1, channels, rows, columns), normalised, or (1, channels, samples).
        name: Of a layer of `models.explaining.layers.layers_of`.
        call: Which one, where the network runs the layer several times.

    Raises:
        ValueError: The network has no such layer, or its output is no map over the image.
    """
    kept: list[tuple[Layer, Tensor]] = []

    def keep(layer: Layer, output: Tensor) -> None:
        if (layer.name, layer.call) == (name, call):
            kept.append((layer, output.detach().clone()))

    with torch.no_grad():
        names = [layer.name for layer in watched_layers(network, image, keep)]
    if not kept:
        reason = f"is run {names.count(name)} times only" if name in names else "is not among them"
        raise ValueError(f"the network has {len(set(names))} layers, and {name!r} {reason}")
    layer, output = kept[0]
    if output.ndim != image.ndim:
        raise ValueError(f"{name!r} has no feature maps: its output is {' x '.join(map(str, layer.output_shape))}")
    if layer.receptive_field is not None:
        output = output.flip([2 + axis for axis in layer.receptive_field.turned_axes])
    values = output[0].float().cpu().numpy()
    return FeatureMaps(layer, values if values.ndim == 3 else values[:, None])
