"""Runs an image network on batches by torch: normalisation, folded batch norms, torch.compile."""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from models.entries import LetterboxPreprocessing, Preprocessing
from models.execution.cuda_graphs import CudaGraphs
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.execution.finite import require_finite
from models.execution.folding import fold_batch_norms, remove_idle_layers
from models.execution.graph import last_layers
from models.execution.precision import examples, require_precision
from models.execution.rounding import round_spatial_kernels
from models.execution.tracing import symbolic_trace
from models.runtime import Runtime

DTYPES: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Executor(NetworkExecutor):
    """A network on its device, in its precision. Thread-safe: several threads may run batches at once.

    Args:
        network: A float32 network in evaluation mode from (N, 3, H, W) to one tensor or several, of N rows each; it is
            not changed.
        preprocessing: Of the model; gives the normalisation.
        runtime: A resolved runtime.
    """

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing, runtime: Runtime
    ) -> None:
        self._device = torch.device(runtime.device)
        self._dtype = DTYPES[runtime.precision]
        self._compiled = runtime.compile
        self._memory_format = torch.channels_last if runtime.channels_last else torch.contiguous_format
        self._mean = torch.tensor(preprocessing.mean, device=self._device)
        self._std = torch.tensor(preprocessing.std, device=self._device)
        with torch.inference_mode():
            self._network = self._prepared(network, runtime)
        self._graphs: CudaGraphs | None = None
        if runtime.cuda_graphs and isinstance(self._network, fx.GraphModule):  # so no control flow depends on data
            self._graphs = CudaGraphs(type(network).__name__, self._forward, self._device)

    @torch.inference_mode()
    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """See `models.execution.external.NetworkExecutor.run_all`."""
        images = torch.as_tensor(pixels)
        if self._graphs is not None:
            outputs = self._graphs(images)
        else:
            outputs = self._forward(images.to(self._device, non_blocking=True))
        require_finite(*outputs)
        return outputs

    def _forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(N, H, W, 3) uint8 on the device to the outputs, float32."""
        outputs = self._network(self._normalised(_padded_to_power_of_two(images) if self._compiled else images))
        found = (outputs,) if isinstance(outputs, Tensor) else outputs
        return tuple(output[: len(images)].float() for output in found)

    def _normalised(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 to (N, 3, H, W) of the network's dtype and memory format; rounded once."""
        return normalise(images, self._mean, self._std).to(self._dtype, memory_format=self._memory_format)

    def _prepared(
        self, network: nn.Module, runtime: Runtime
    ) -> Callable[[Tensor], Tensor | tuple[Tensor, ...] | list[Tensor]]:
        network = folded(network) if runtime.fuse else copy.deepcopy(network)
        last = copy.deepcopy(_last_layers(network))
        if self._dtype == torch.bfloat16:
            round_spatial_kernels(network)
        network.to(self._device, self._dtype).to(memory_format=self._memory_format)
        if self._dtype != torch.float32:
            for name, layer in last.items():
                network.set_submodule(name, _Float32Layer(layer.to(self._device)))
        return torch.compile(network, dynamic=False) if runtime.compile else network


def executor_for(
    network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing, runtime: Runtime
) -> NetworkExecutor:
    """Makes what runs a network: an `Executor`, one of OpenVINO, or that of an external runtime.

    Args:
        network: See `Executor`.
        preprocessing: Of the model.
        runtime: A resolved runtime.

    Raises:
        NotConvertible: OpenVINO is to run the network, and cannot.
        PrecisionTooLow: The precision changes the outputs of the network on this device.
    """
    if isinstance(runtime, ExternalRuntime):
        return runtime.executor(network, preprocessing)
    if runtime.backend == "openvino":
        from models.execution.openvino_executor import OpenVinoExecutor

        return OpenVinoExecutor.of(network, preprocessing, runtime)
    if runtime.precision != "fp32":
        plain = replace(runtime, compile=False, cuda_graphs=False)
        full = Executor(network, preprocessing, replace(plain, precision="fp32"))
        reduced = Executor(network, preprocessing, plain)
        require_precision(reduced, full, examples(preprocessing), runtime)
        if runtime == plain:
            return reduced
    return Executor(network, preprocessing, runtime)


class _Float32Layer(nn.Module):
    """A last layer in float32: it costs little, and rounded logits would cause ties between classes and boxes."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._layer = layer

    def forward(self, features: Tensor) -> Tensor:
        return self._layer(features.float())


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Subtracts the mean and divides by the standard deviation.

    Computed row by row: with three numbers to subtract and not a whole row of them it takes five times as long
    (416 x 416: 1.0 and 0.2 ms).

    Args:
        images: (N, H, W, 3) uint8.
        mean: (3,) float32, on the scale 0 to 255.
        std: (3,) float32, likewise.

    Returns:
        (N, 3, H, W) float32, a view of (N, H, W, 3).
    """
    values = images.to(torch.float32, memory_format=torch.contiguous_format)
    rows, width = values.flatten(2), values.shape[2]
    rows.sub_(mean.repeat(width)).div_(std.repeat(width))
    return values.permute(0, 3, 1, 2)


def folded(network: nn.Module) -> nn.Module:
    """Traces a network and folds its batch norms; with data-dependent control flow it is deep-copied unchanged.

    Args:
        network: In evaluation mode; it is not changed.

    Returns:
        A copy.
    """
    try:
        traced = symbolic_trace(network)
    except (TraceError, TypeError):
        return copy.deepcopy(network)
    traced = copy.deepcopy(traced)
    remove_idle_layers(traced)
    fold_batch_norms(traced)
    return traced


def _last_layers(network: nn.Module) -> Mapping[str, nn.Module]:
    """The output layers, by name: of a traced network all of them, else the last linear one."""
    if isinstance(network, fx.GraphModule) and (found := last_layers(network)):
        return found
    last: dict[str, nn.Module] = {}
    for name, module in cast("Iterator[tuple[str, nn.Module]]", network.named_modules()):
        if isinstance(module, nn.Linear):
            last = {name: module}
    return last


def _padded_to_power_of_two(images: Tensor) -> Tensor:
    """Pads the batch with its last image to a power of two, so that few batch sizes are compiled."""
    missing = (1 << (len(images) - 1).bit_length()) - len(images)
    return torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
