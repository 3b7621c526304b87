"""Finds the layers of a network that return feature maps, and how these lie on its input."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, cast

import torch
from torch import Tensor, nn

from models.explaining.layers import receptive_fields
from models.explaining.receptive_field import ReceptiveField

_MOST_STRETCHED: Final = 2.0
"""Ratio of the pixels of a cell along both sides; it differs from 1 where an odd number of cells is rounded."""
_CONVOLUTIONS: Final = (nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output is one feature map of several cells.

    Attributes:
        name: Of the module in the network.
        channels: Of the map.
        size: (height, width) of the map in cells, for the input that the network was looked at with.
        field: Its receptive field; None where it is not known.
    """

    name: str
    channels: int
    size: tuple[int, int]
    field: ReceptiveField | None

    def upright(self, maps: Tensor) -> Tensor:
        """(N, C, h, w) maps of this layer, turned as the image is: some networks turn their input."""
        turned = self.field.turned_axes if self.field else ()
        return maps.flip([2 + axis for axis in turned]) if turned else maps


def find_map_layers(network: nn.Module, size: tuple[int, int]) -> tuple[MapLayer, ...]:
    """Lists the layers that run once for an image and return (N, C, h, w) with more than one cell, in their order.

    Convolutions and blocks are listed; norms and activations are not, but for what a block ends with.

    Args:
        network: In evaluation mode.
        size: (height, width) of an input in pixels.
    """
    with torch.no_grad():
        maps = _maps(network, torch.zeros(1, 3, *size))
    fields = receptive_fields(network, (3, *size))
    return tuple(
        MapLayer(name, found.shape[1], (found.shape[2], found.shape[3]), fields.get(name))
        for name, found in _distinct(network, maps).items()
    )


@contextmanager
def kept_maps(network: nn.Module, names: Sequence[str]) -> Generator[dict[str, Tensor]]:
    """Keeps the outputs of layers while the network runs.

    Args:
        network: The network.
        names: Of its modules.

    Yields:
        The outputs by name, once the network has run.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            kept[name] = output

        return hook

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _maps(network: nn.Module, images: Tensor) -> Mapping[str, Tensor]:
    """The maps of all layers that run once, in the order in which they end."""
    kept: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(output, Tensor) and output.ndim == 4 and _has_sides_of(output, images):
                kept[name] = output

        return hook

    modules = cast("Iterator[tuple[str, nn.Module]]", network.named_modules())
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules if name]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: maps for name, maps in kept.items() if calls[name] == 1}


def _has_sides_of(maps: Tensor, images: Tensor) -> bool:
    """Whether a tensor has several cells, in rows and columns as the images have: transformers have channels last."""
    cells = maps.shape[2] * maps.shape[3]
    down, across = images.shape[2] / max(1, maps.shape[2]), images.shape[3] / max(1, maps.shape[3])
    return cells > 1 and max(down, across) <= _MOST_STRETCHED * min(down, across)


def _distinct(network: nn.Module, maps: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The maps of convolutions and blocks; of layers that return the same map, the one with the shortest name."""
    names: dict[tuple[int, ...], str] = {}
    for name, found in maps.items():
        module = network.get_submodule(name)
        is_listed = isinstance(module, _CONVOLUTIONS) or next(module.children(), None) is not None or "." not in name
        same = (found.data_ptr(), *found.shape)
        if is_listed and len(name) <= len(names.get(same, name)):
            names[same] = name
    chosen = set(names.values())
    return {name: found for name, found in maps.items() if name in chosen}
