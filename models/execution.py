"""Runs an image network over batches of bytes, the fastest way that the runtime allows."""

import copy
from collections.abc import Callable, Iterator
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from models.entries import Preprocessing
from models.folding import fold_batch_norms, remove_idle_layers
from models.onednn import can_pack, pack_convolutions
from models.rounding import round_spatial_kernels
from models.runtime import Runtime

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_REUSED_BYTES: Final = 32 * 2**20
"""The GNU allocator hands larger blocks back to the kernel, which clears them anew for every layer (mallopt(3),
DEFAULT_MMAP_THRESHOLD_MAX): EfficientNet-Lite0 in fp32 takes 10.3 ms per image at batch 4 and 14 at batch 16."""


class Executor:
    """A network on its device, in its precision.

    Args:
        network: A float32 network in evaluation mode from (N, 3, H, W) to (N, C); it is not changed.
        preprocessing: Of the model; gives the input's side and its normalisation.
        runtime: A resolved runtime.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, runtime: Runtime) -> None:
        self._device = torch.device(runtime.device)
        self._dtype = DTYPES[runtime.precision]
        self._compiled = runtime.compile
        self._memory_format = torch.channels_last if runtime.channels_last else torch.contiguous_format
        self._mean = torch.tensor(preprocessing.mean, device=self._device).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocessing.std, device=self._device).view(1, 3, 1, 1)
        self._images_per_pass: int | None = None
        with torch.inference_mode():
            self._network = self._prepared(network, preprocessing.crop, runtime)

    @torch.inference_mode()
    def run(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Computes the network's output.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, N at least 1.

        Returns:
            (N, C) float32 on the device.
        """
        images = torch.as_tensor(pixels).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        if self._compiled:
            return self._network(self._normalised(_padded_to_power_of_two(images)))[: len(images)].float()
        step = self._images_per_pass or len(images)
        passes = (images[start : start + step] for start in range(0, len(images), step))
        return torch.cat([self._network(self._normalised(some)).float() for some in passes])

    def _normalised(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 to the network's dtype and memory format; computed in float32, rounded once."""
        values = images.to(torch.float32, memory_format=self._memory_format)
        return values.sub_(self._mean).div_(self._std).to(self._dtype)

    def _prepared(self, network: nn.Module, side: int, runtime: Runtime) -> Callable[[Tensor], Tensor]:
        network = _folded(network) if runtime.fuse else copy.deepcopy(network)
        head = _last_linear(network)
        if self._dtype == torch.bfloat16:
            round_spatial_kernels(network)
        if isinstance(network, fx.GraphModule) and not runtime.on_gpu and not runtime.compile and can_pack():
            largest = pack_convolutions(network, torch.zeros(1, 3, side, side), self._dtype)
            self._images_per_pass = _power_of_two_below(_REUSED_BYTES // largest)
        network.to(self._device, self._dtype).to(memory_format=self._memory_format)
        if head is not None:
            name, linear = head
            network.set_submodule(name, _Float32Linear(linear.to(self._device)))
        return torch.compile(network, dynamic=False) if runtime.compile else network


class _Float32Linear(nn.Module):
    """The last layer, kept in float32: it costs nothing, and rounded logits would tie classes that differ."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._linear = linear

    def forward(self, features: Tensor) -> Tensor:
        return self._linear(features.float())


def _folded(network: nn.Module) -> nn.Module:
    """Traces a network and folds its batch norms; one whose course depends on its data is copied as it is."""
    try:
        traced = fx.symbolic_trace(network)
    except (TraceError, TypeError):
        return copy.deepcopy(network)
    traced = copy.deepcopy(traced)
    remove_idle_layers(traced)
    fold_batch_norms(traced)
    return traced


def _last_linear(network: nn.Module) -> tuple[str, nn.Linear] | None:
    """The name and a copy of the last linear layer, where there is one."""
    last: tuple[str, nn.Linear] | None = None
    for name, module in cast("Iterator[tuple[str, nn.Module]]", network.named_modules()):
        if isinstance(module, nn.Linear):
            last = name, module
    return copy.deepcopy(last)


def _power_of_two_below(number: int) -> int:
    return 1 << max(number, 1).bit_length() - 1


def _padded_to_power_of_two(images: Tensor) -> Tensor:
    """Repeats the last image until the batch size is a power of two, so that few sizes are ever compiled."""
    missing = (1 << (len(images) - 1).bit_length()) - len(images)
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
