"""The feature maps of a layer for one image."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.explaining.colours import VIRIDIS, colour_map
from models.explaining.field_tracing import FieldTracing
from models.explaining.module_calls import ModuleCall, watched

_LEAST_SPREAD: Final = 1e-12
"""A map whose values differ by less is drawn as zero."""


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The output of a layer, or of a block of several, for one image.

    Attributes:
        values: (C, H, W) float32, upright: turned back where the network turns its input. Of a signal H is 1.
    """

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
        scaled = (values - values.min()) / spread if spread > _LEAST_SPREAD else np.zeros_like(values)
        return colour_map(scaled, VIRIDIS)


def feature_maps(network: nn.Module, image: Tensor, name: str, call: int = 1) -> FeatureMaps:
    """Runs a network on an image and keeps the output of one layer, or of a block of several.

    Args:
        network: In evaluation mode; it is not changed.
        image: (1, channels, rows, columns), normalised, or (1, channels, samples).
        name: Of the module in the network.
        call: Which one, where the network runs it several times.

    Raises:
        ValueError: The network does not run such a module so often, or its output is no map over the image.
    """
    seen = 0
    output: Tensor | None = None
    turned: tuple[int, ...] = ()

    def keep(found: ModuleCall) -> None:
        nonlocal seen, output, turned
        if found.name == name:
            seen += 1
            if seen == call:
                field = fields.field_of(found.output)
                output, turned = found.output.detach().clone(), field.turned_axes if field is not None else ()

    with torch.no_grad(), FieldTracing(image) as fields, watched(network, keep):
        network(image)
    if output is None:
        raise ValueError(f"the network runs {name!r} {f'{seen} times only' if seen else 'not at all'}")
    if output.ndim != image.ndim:
        shape = " × ".join(map(str, output.shape[1:]))
        raise ValueError(f"{name!r} has no feature maps over the image: its output is {shape}")
    values = output.flip([2 + axis for axis in turned])[0].float().cpu().numpy()
    return FeatureMaps(values if values.ndim == 3 else values[:, None])
