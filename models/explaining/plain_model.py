"""Loads a model in plain float32, with its network as modules that can be hooked and differentiated."""

import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.adapter import Adapter
from models.catalog.loading import load
from models.catalog.lookup import find
from models.catalog.onnx_models import is_onnx
from models.entries import CatalogEntry, LetterboxPreprocessing, Preprocessing
from models.entries.signal_preprocessing import SignalPreprocessing
from models.errors import CannotExplain
from models.execution.executor import normalise
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.execution.finite import require_finite
from models.kinds import KINDS
from models.runtime import Runtime


class PlainNetwork(NetworkExecutor):
    """A network of torch in float32 on the CPU, without folded batch norms and without layers that work in place.

    Args:
        network: In evaluation mode, from normalised (N, 3, H, W) to one tensor or several; it is not changed.
        preprocessing: Of the model; gives the normalisation.

    Attributes:
        modules: A copy of the network.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> None:
        self.modules = copy.deepcopy(network).float()
        for module in self.modules.modules():
            if getattr(module, "inplace", False):
                setattr(module, "inplace", False)  # noqa: B010 - torch types attributes as tensors and modules
        self._mean = torch.tensor(preprocessing.mean)
        self._std = torch.tensor(preprocessing.std)

    def normalised(self, pixels: NDArray[np.uint8]) -> Tensor:
        """(N, H, W, 3) uint8 RGB to (N, 3, H, W) float32."""
        return normalise(torch.as_tensor(pixels), self._mean, self._std).contiguous()

    def outputs(self, images: Tensor) -> tuple[Tensor, ...]:
        """Runs the network so that its outputs can be differentiated.

        Args:
            images: From `normalised`.

        Returns:
            Each (N, …) float32.
        """
        found: Any = self.modules(images)
        return (found,) if isinstance(found, Tensor) else tuple(found)

    @torch.inference_mode()
    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """See `NetworkExecutor.run_all`."""
        outputs = self.outputs(self.normalised(pixels))
        require_finite(*outputs)
        return outputs


@dataclass(frozen=True)
class _PlainRuntime(ExternalRuntime):
    takes_original: ClassVar[bool] = True
    kept: list[PlainNetwork] = field(default_factory=list[PlainNetwork], compare=False)

    def executor(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> NetworkExecutor:
        plain = PlainNetwork(network, preprocessing)
        self.kept.append(plain)
        return plain


@dataclass(frozen=True, eq=False)
class PlainModel:
    """A model in float32.

    Attributes:
        adapter: The model; it runs the same network.
        network: Its network of torch.
    """

    adapter: Adapter[Any, Any]
    network: PlainNetwork


def load_plain(name: str) -> PlainModel:
    """Loads a model in float32 on the CPU, to be looked into.

    A quantized model is explained by the float32 network that it was quantized from, which its card holds, too.

    Args:
        name: A name of `models.catalog.lookup`, not that of an ONNX file.

    Raises:
        CannotExplain: The model has no network.
        ModelsError: It cannot be loaded, see `models.catalog.loading.load`.
    """
    require_network(find(name))
    runtime = _PlainRuntime(precision="fp32", channels_last=False, fuse=False, backend="torch")
    adapter = load(name, runtime)
    (network,) = runtime.kept
    return PlainModel(adapter, network)


def load_fast(name: str, num_threads: int | None = None) -> Adapter[Any, Any]:
    """Loads a model in float32 on the CPU, to be asked often: by OpenVINO where it can, and also from an ONNX file.

    Args:
        name: A name of `models.catalog.lookup`.
        num_threads: Threads of one run; None: as many as torch has.

    Raises:
        CannotExplain: The model has no network.
        ModelsError: It cannot be loaded, see `models.catalog.loading.load`.
    """
    require_network(find(name))
    return load(name, Runtime(precision="fp32", num_threads=num_threads))


def require_network(entry: CatalogEntry) -> None:
    """Raises `CannotExplain` where a model has no network, takes no images, or makes images."""
    if KINDS[entry.kind].is_experimental:
        raise CannotExplain(f"{entry.name} makes images: only models that predict can be explained", "model")
    if isinstance(entry.preprocessing, SignalPreprocessing):
        message = f"{entry.name} takes signals: only models of images have explanations and layers here"
        raise CannotExplain(message, "model")
    if entry.weights.kind == "none":
        raise CannotExplain(f"{entry.name} has no network, so there is nothing to explain", "model")


def require_layers(entry: CatalogEntry) -> None:
    """Raises `CannotExplain` where a model has no layers of torch to list."""
    require_network(entry)
    if is_onnx(entry):
        message = f"{entry.name} is an ONNX file, and has no layers of torch: only method=occlusion looks into it"
        raise CannotExplain(message, "model")
