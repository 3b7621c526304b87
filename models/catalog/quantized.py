"""Cards with a quantized network: 8 bits a weight and an activation, run by OpenVINO on CPUs.

The file of such a card holds two things: the state dict, from which the model is built as any other, and the network
from pixels to raw outputs in OpenVINO's intermediate representation, with its weights in int8, which replaces it. What
follows the network (the second stages of Faster and Mask R-CNN) runs in the precision of the runtime.
`models.export.quantization` writes such cards.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import nn

from models.entries import CatalogEntry, LetterboxPreprocessing, Preprocessing
from models.errors import NotConvertible, UnsupportedRuntime
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.runtime import Runtime
from models.sources.card_weights import load_quantized
from models.sources.weights_files import locate


@dataclass(frozen=True, kw_only=True)
class QuantizedRuntime(ExternalRuntime):
    """A runtime of one model, whose network is the quantized one of its card.

    Attributes:
        weights: Path of the file that holds it.
    """

    weights: Path

    def executor(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> NetworkExecutor:
        """See `ExternalRuntime.executor`. The float32 network is not used.

        Raises:
            NotConvertible: The file holds no quantized network that OpenVINO can read.
        """
        from models.execution.openvino_executor import OpenVinoExecutor
        from models.execution.openvino_network import open_representation

        try:
            xml, constants = load_quantized(self.weights)
        except ValueError as error:
            raise NotConvertible(f"{self.weights} holds no quantized network: {error}") from error
        return OpenVinoExecutor(open_representation(xml, constants, self))

    def to_dict(self) -> dict[str, Any]:
        """See `models.runtime.Runtime.to_dict`."""
        return {**super().to_dict(), "precision": "int8"}


def quantized_runtime(entry: CatalogEntry, runtime: Runtime) -> QuantizedRuntime:
    """Makes the runtime of a card with a quantized network.

    Args:
        entry: The card.
        runtime: A resolved runtime.

    Raises:
        UnsupportedRuntime: The network would not run by OpenVINO.
    """
    if isinstance(runtime, ExternalRuntime) or runtime.backend != "openvino":
        raise UnsupportedRuntime(
            f"{entry.name} is quantized to {entry.quantization} and runs by OpenVINO on a CPU only; install the Python "
            "package openvino and leave backend, compile, fuse and channels_last unset, or take the original model"
        )
    options = {field.name: getattr(runtime, field.name) for field in fields(Runtime)}
    return QuantizedRuntime(**options, weights=locate(entry))
