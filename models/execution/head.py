"""Runs the layers that follow RoI pooling: a head of a second stage, from pooled regions to one tensor."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.execution.executor import DTYPES, folded
from models.runtime import Runtime

Head = Callable[[Tensor], Tensor]
"""From regions (R, C, h, w) float32 on the device of the runtime to (R, …) float32; R may be 0."""


def head_for(layers: nn.Module, region_shape: tuple[int, int, int], runtime: Runtime) -> Head:
    """Makes what runs a head, by the backend of the runtime and in its precision.

    Args:
        layers: In evaluation mode; they are not changed.
        region_shape: (C, h, w) of a region.
        runtime: A resolved runtime.

    Raises:
        NotConvertible: OpenVINO is to run the head, and cannot.
    """
    if runtime.backend == "openvino":
        return _openvino_head(layers, region_shape, runtime)
    dtype = DTYPES[runtime.precision]
    memory_format = torch.channels_last if runtime.channels_last else torch.contiguous_format
    network = folded(layers) if runtime.fuse else copy.deepcopy(layers)
    network = network.to(runtime.device, dtype).to(memory_format=memory_format)
    return lambda regions: network(regions.to(dtype, memory_format=memory_format)).float()


def _openvino_head(layers: nn.Module, region_shape: tuple[int, int, int], runtime: Runtime) -> Head:
    from models.execution.openvino_network import open_network

    generator = torch.Generator().manual_seed(0)
    example, other = (torch.randn(count, *region_shape, generator=generator) for count in (2, 1))
    run = open_network(layers, example, other, runtime)
    return lambda regions: run(regions.numpy())[0]
