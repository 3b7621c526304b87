"""Finds the layers of a network that return feature maps, and how these lie on its input."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from models.explaining.field_tracing import FieldTracing
from models.explaining.layers import is_map
from models.explaining.receptive_field import ReceptiveField

_CONVOLUTIONS: Final = (nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output is one feature map of several cells.

    Attributes:
        name: Of the module in the network.
        channels: Of the map.
        size: (height, width) of the map in cells, for the input that the network was looked at with.
        field: Its receptive field; None where it is not known.
        is_returned: Whether it is an output of the network, such as a level of a pyramid.
    """

    name: str
    channels: int
    size: tuple[int, int]
    field: ReceptiveField | None
    is_returned: bool = False

    def upright(self, maps: Tensor) -> Tensor:
        """(N, C, h, w) maps of this layer, turned as the image is: some networks turn their input."""
        turned = self.field.turned_axes if self.field else ()
        return maps.flip([2 + axis for axis in turned]) if turned else maps


def find_map_layers(network: nn.Module, size: tuple[int, int]) -> tuple[MapLayer, ...]:
    """Lists the layers that run once for an image and return (N, C, h, w) with more than one cell, in their order.

    Convolutions and blocks are listed; norms and activations are not, but for what a block ends with. The maps
    themselves are not kept.

    Args:
        network: In evaluation mode.
        size: (height, width) of an input in pixels.
    """
    seen = _SeenMaps(network, torch.zeros(1, 3, *size))
    names: dict[int, str] = {}
    for name, number in seen.numbers.items():
        module = network.get_submodule(name)
        is_listed = isinstance(module, _CONVOLUTIONS) or next(module.children(), None) is not None or "." not in name
        if is_listed and len(name) <= len(names.get(number, name)):
            names[number] = name
    chosen = set(names.values())
    return tuple(layer for name, layer in seen.layers.items() if name in chosen)


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


class _SeenMaps:
    """Runs a network once and notes the maps of the layers that run once, in the order in which they end.

    Args:
        network: In evaluation mode.
        images: (1, 3, H, W).

    Attributes:
        layers: By name.
        numbers: By name; layers that return the same map have the same number.
    """

    def __init__(self, network: nn.Module, images: Tensor) -> None:
        self.layers: dict[str, MapLayer] = {}
        self.numbers: dict[str, int] = {}
        self._images = images
        self._calls: dict[str, int] = {}
        self._count = count()
        self._known: Any = WeakTensorKeyDictionary()  # from a tensor that is alive to its number
        modules = cast("Iterator[tuple[str, nn.Module]]", network.named_modules())
        hooks = [module.register_forward_hook(self._noting(name)) for name, module in modules if name]
        try:
            with torch.no_grad(), FieldTracing(images) as self._fields:
                outputs: Any = network(images)
        finally:
            for hook in hooks:
                hook.remove()
        self._keep_those_that_ran_once()
        self._mark_returned((outputs,) if isinstance(outputs, Tensor) else tuple(outputs))

    def _noting(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            self._calls[name] = self._calls.get(name, 0) + 1
            if not isinstance(output, Tensor) or not is_map(output, self._images):
                return
            self.numbers[name] = self._known.setdefault(output, next(self._count))
            field = self._fields.field_of(output)
            self.layers[name] = MapLayer(name, output.shape[1], (output.shape[2], output.shape[3]), field)

        return hook

    def _keep_those_that_ran_once(self) -> None:
        for name in [name for name in self.layers if self._calls[name] > 1]:
            del self.layers[name], self.numbers[name]

    def _mark_returned(self, outputs: Sequence[Any]) -> None:
        returned = {self._known.get(output) for output in outputs if isinstance(output, Tensor)}
        for name, number in self.numbers.items():
            if number in returned:
                self.layers[name] = replace(self.layers[name], is_returned=True)
