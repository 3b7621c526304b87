"""The feature maps of a layer for one image."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.explaining.colours import VIRIDIS, colour_map
from models.explaining.field_tracing import FieldTracing
from models.explaining.layers import is_map
from models.explaining.module_calls import ModuleCall, watched
from models.explaining.receptive_field import ReceptiveField

_LEAST_SPREAD: Final = 1e-12
"""A map whose values differ by less is drawn as zero."""


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """The output of a layer, or of a block of several, for one image.

    Attributes:
        values: (C, H, W) float32, upright: turned back where the network turns its input. Of a signal H is 1.
        field: The receptive field of the layer; None where it is not known. Its units are not turned back.
    """

    values: NDArray[np.float32]
    field: ReceptiveField | None = None

    def strongest(self, count: int) -> list[int]:
        """The channels whose values vary most over the image.

        Args:
            count: The most channels.

        Returns:
            Their indices, the largest standard deviation first.
        """
        spread = self.values.reshape(len(self.values), -1).std(1)
        return [int(channel) for channel in np.argsort(-spread, kind="stable")[:count]]

    def seen(self, input_size: tuple[int, ...]) -> tuple[tuple[tuple[int, int], ...], ...] | None:
        """The pixels that each unit sees.

        Args:
            input_size: Pixels of the network's input, by axis: (rows, columns).

        Returns:
            By axis, for each row and each column of the upright maps, the first and the last pixel, inclusive, within
            the input; None where the receptive field is not known.
        """
        if self.field is None:
            return None
        field, counts = self.field, self.values.shape[-len(input_size) :]
        return tuple(
            tuple(
                field.pixels_along(axis, count - 1 - unit if axis in field.turned_axes else unit, side)
                for unit in range(count)
            )
            for axis, (count, side) in enumerate(zip(counts, input_size, strict=True))
        )

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
    field: ReceptiveField | None = None

    def keep(found: ModuleCall) -> None:
        nonlocal seen, output, field
        if found.name == name:
            seen += 1
            if seen == call:
                output, field = found.output.detach().clone(), fields.field_of(found.output)

    with torch.no_grad(), FieldTracing(image) as fields, watched(network, keep):
        network(image)
    if output is None:
        raise ValueError(f"the network runs {name!r} {f'{seen} times only' if seen else 'not at all'}")
    if not is_map(output, image):
        shape = " × ".join(map(str, output.shape[1:]))
        raise ValueError(f"{name!r} has no feature maps over the image: its output is {shape}")
    turned = field.turned_axes if field is not None else ()
    values = output.flip([2 + axis for axis in turned])[0].float().cpu().numpy()
    return FeatureMaps(values if values.ndim == 3 else values[:, None], field)
