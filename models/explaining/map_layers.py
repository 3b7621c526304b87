"""Finds the layers of a network that return feature maps, and how these lie on its input."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

_CONVOLUTIONS: Final = (nn.Conv2d, nn.ConvTranspose2d)
_PROBE_SHARE: Final = 3
"""A probe changes a rectangle of a third of each side."""
_PROBE_CELL: Final = 4
"""Side of the squares of the checkerboard that it draws, in pixels."""


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output is one feature map of several cells.

    Attributes:
        name: Of the module in the network.
        channels: Of the map.
        size: (height, width) of the map in cells, for the image that the network was looked at with.
        flips: Axes of the map, 2 and 3, along which it lies the other way round than the image: some networks turn
            their input (`models.classification.efficientnet_lite`).
    """

    name: str
    channels: int
    size: tuple[int, int]
    flips: tuple[int, ...]

    def upright(self, maps: Tensor) -> Tensor:
        """(N, C, h, w) maps of this layer, turned as the image is."""
        return maps.flip(self.flips) if self.flips else maps


def find_map_layers(network: nn.Module, size: tuple[int, int]) -> tuple[MapLayer, ...]:
    """Lists the layers that run once for an image and return (N, C, h, w) with more than one cell, in their order.

    Convolutions and blocks are listed; norms and activations are not, but for what a block ends with. How the maps lie
    is probed: a change of the upper left corner of the input changes other cells than one of the lower right corner.

    Args:
        network: In evaluation mode.
        size: (height, width) of an input in pixels.
    """
    blank = torch.zeros(1, 3, *size)
    rows, columns = (-(-side // _PROBE_SHARE) for side in size)
    board = (torch.arange(rows)[:, None] // _PROBE_CELL + torch.arange(columns) // _PROBE_CELL) % 2 * 2.0 - 1.0
    upper, lower = blank.clone(), blank.clone()
    upper[:, :, :rows, :columns] = board
    lower[:, :, -rows:, -columns:] = board
    with torch.inference_mode():
        plain, *probed = (_maps(network, each) for each in (blank, upper, lower))
    return tuple(
        MapLayer(name, maps.shape[1], (maps.shape[2], maps.shape[3]), _flips(*(each[name] - maps for each in probed)))
        for name, maps in _distinct(network, plain).items()
    )


@contextmanager
def kept_maps(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
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
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                kept[name] = output

        return hook

    modules = [(name, module) for name, module in network.named_modules() if name]
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: maps for name, maps in kept.items() if calls[name] == 1}


def _distinct(network: nn.Module, maps: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The maps of convolutions and blocks; of layers that return the same map, the one with the shortest name."""
    names: dict[int, str] = {}
    for name, found in maps.items():
        module = network.get_submodule(name)
        is_listed = isinstance(module, _CONVOLUTIONS) or next(module.children(), None) is not None or "." not in name
        if is_listed and len(name) <= len(names.get(found.data_ptr(), name)):
            names[found.data_ptr()] = name
    chosen = set(names.values())
    return {name: found for name, found in maps.items() if name in chosen}


def _flips(upper: Tensor, lower: Tensor) -> tuple[int, ...]:
    """The axes along which a change of the upper left corner changes later cells than one of the lower right.

    Args:
        upper: (1, C, h, w), by how much the former changes a map.
        lower: The same of the latter.
    """
    return tuple(axis for axis in (2, 3) if _centre(upper, axis) > _centre(lower, axis))


def _centre(change: Tensor, axis: int) -> float:
    profile = change.abs().sum([each for each in range(4) if each != axis])
    return float((profile * torch.arange(len(profile))).sum() / profile.sum().clamp(min=1e-12))
