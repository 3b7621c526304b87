"""Loads a model in plain float32 and keeps hold of its network, which adapters hide."""

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from models.adapter import Adapter
from models.catalog.loading import load
from models.catalog.lookup import find
from models.entries import ONNX, LetterboxPreprocessing, Preprocessing
from models.errors import ExportError
from models.execution.executor import Executor
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.kinds import KINDS
from models.runtime import Runtime

_PLAIN = Runtime(precision="fp32", channels_last=False, fuse=False)


@dataclass(frozen=True, eq=False)
class CapturedNetwork:
    """A model, its network, and what runs that network in plain float32.

    Attributes:
        adapter: The model, which runs the same network.
        network: The float32 network in evaluation mode, from normalised (N, 3, H, W) to one tensor or several.
        preprocessing: Of the model.
        executor: Runs the network, unfused.
    """

    adapter: Adapter[Any, Any]
    network: nn.Module
    preprocessing: Preprocessing | LetterboxPreprocessing
    executor: NetworkExecutor


_Kept = tuple[nn.Module, Preprocessing | LetterboxPreprocessing, NetworkExecutor]


@dataclass(frozen=True)
class _CapturingRuntime(ExternalRuntime):
    kept: list[_Kept] = field(default_factory=list[_Kept])

    def executor(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> NetworkExecutor:
        executor = Executor(network, preprocessing, _PLAIN)
        self.kept.append((network, preprocessing, executor))
        return executor


def capture(name: str) -> CapturedNetwork:
    """Loads a model and its network.

    Args:
        name: A name of `models.catalog.lookup`.

    Raises:
        ExportError: The model has no network, or runs from an ONNX file.
        ModelsError: It cannot be loaded, see `models.catalog.loading.load`.
    """
    if find(name).architecture == ONNX:
        raise ExportError(name, "is an ONNX file, and has no network of torch to export or quantize")
    if KINDS[find(name).kind].is_experimental:
        raise ExportError(name, "makes images: models of this experimental kind are not exported or quantized")
    runtime = _CapturingRuntime(precision="fp32", channels_last=False, fuse=False, backend="torch")
    adapter = load(name, runtime)
    if len(runtime.kept) != 1:
        raise ExportError(name, "has no network that could be exported")
    return CapturedNetwork(adapter, *runtime.kept[0])
