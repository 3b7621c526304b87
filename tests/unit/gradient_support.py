"""Finds receptive fields by gradient: the pixels whose change would change the centre unit of a layer.

Nothing may cancel a gradient or stop it, so the network is made linear with positive weights: its weights become
averages, its activation functions do nothing, and its maxima become means.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torchvision.ops import FrozenBatchNorm2d

from models.explaining.layers import Layer, layers_of
from models.explaining.module_calls import ModuleCall, watched

_IDLE = {"relu", "relu_", "relu6", "hardtanh", "hardtanh_", "silu", "silu_", "gelu", "hardswish", "hardswish_"} | {
    *("leaky_relu", "leaky_relu_", "layer_norm", "dropout"),
}
"""Functions of torch that return their argument instead."""
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)

_CHANNELS_LAST = ("LayerNorm", "Linear")
"""Types of modules that take and return maps whose channels are the last axis."""

Spans = tuple[tuple[int, int], ...]
"""By axis, the first and the last pixel."""


@dataclass(frozen=True)
class Support:
    """What the gradient of one unit of a layer reaches: `expected` by the layer's receptive field, and `reached`."""

    layer: Layer
    expected: Spans
    reached: Spans


class _WithoutActivations(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _IDLE:
            return args[0]
        if name == "max_pool2d":
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
            given = dict(zip(names, args[1:], strict=False)) | (kwargs or {})
            assert given.pop("dilation", 1) in (1, [1, 1], (1, 1))
            given.pop("return_indices", None)
            return functional.avg_pool2d(args[0], **given)
        return func(*args, **(kwargs or {}))


def averaging(network: nn.Module) -> nn.Module:
    """A copy whose layers average: all weights are positive, and norms change nothing."""
    network = copy.deepcopy(network).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
            norm: Any = module
            fresh = type(norm)(norm.weight.shape[0]).double()
            module.load_state_dict(fresh.state_dict(), strict=False)
    norms = {id(tensor) for module in network.modules() if isinstance(module, _NORMS) for tensor in module.parameters()}
    for parameter in network.parameters():
        if id(parameter) not in norms:
            nn.init.constant_(parameter, 1 / parameter[0].numel() if parameter.ndim > 1 else 0.01)
    return network


def supports(network: nn.Module, shape: tuple[int, ...], count: int) -> Iterator[Support]:
    """Looks at the centre units of layers with different receptive fields.

    Args:
        network: Any.
        shape: Of an input, (channels, rows, columns) or (channels, samples).
        count: The most layers, spread evenly over the network; the last one is among them.
    """
    image = torch.full((1, *shape), 0.1, dtype=torch.float64, requires_grad=True)
    last = {layer.receptive_field: (layer.name, layer.call) for layer in layers_of(network, shape)}
    outputs = _outputs(network, image, set(last.values()))
    assert set(outputs) == set(last.values())
    found = {(layer.name, layer.call): layer for layer in layers_of(network, shape)}
    chosen = list(last.values())[:: -max(1, -(-len(last) // count))]
    for key in chosen:
        layer, output = found[key], outputs[key]
        is_map = output.ndim == image.ndim
        if is_map and layer.type in _CHANNELS_LAST:
            output = output.movedim(-1, 1)
        unit = tuple(side // 2 for side in output.shape[2:]) if is_map else (0,) * (image.ndim - 2)
        picked = output[(0, slice(None), *unit)].sum() if is_map else output.flatten()[0]
        (gradient,) = torch.autograd.grad(picked, image, retain_graph=True)
        assert layer.receptive_field is not None, f"{layer.name} has no receptive field"
        yield Support(layer, layer.receptive_field.pixels(unit, shape[1:]), _spans(gradient[0]))


def _outputs(network: nn.Module, image: Tensor, wanted: set[tuple[str, int]]) -> dict[tuple[str, int], Tensor]:
    outputs: dict[tuple[str, int], Tensor] = {}
    calls: Counter[str] = Counter()

    def keep(call: ModuleCall) -> None:
        if not call.has_parts and not isinstance(call.module, nn.Identity):
            calls[call.name] += 1
            if (key := (call.name, calls[call.name])) in wanted:
                outputs[key] = call.output.clone()

    linear = averaging(network)
    with _WithoutActivations(), watched(linear, keep):
        linear(image)
    return outputs


def _spans(gradient: Tensor) -> Spans:
    assert (gradient >= 0).all()
    reached = gradient.sum(0) > 0
    spans: list[tuple[int, int]] = []
    for axis in range(reached.ndim):
        along = reached.transpose(0, axis).flatten(1).any(1) if reached.ndim > 1 else reached
        places = along.nonzero().flatten().tolist()
        spans.append((places[0], places[-1]))
    return tuple(spans)
