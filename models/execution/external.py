"""The interface of whatever runs a network for an adapter: this process, another library, or a server.

Between preprocessed pixels and raw outputs, an adapter calls one `NetworkExecutor`. An `ExternalRuntime` replaces it;
decode, preprocess and postprocess stay in the adapter, and so do the second stages of Faster and Mask R-CNN.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.runtime import Runtime


class NetworkExecutor(ABC):
    """Runs an image network on batches; several threads may call it at once."""

    def run(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Runs a network with a single output.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, N at least 1.

        Returns:
            (N, …) float32 on the device.
        """
        (output,) = self.run_all(pixels)
        return output

    @abstractmethod
    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """Runs a network and returns all of its outputs.

        Args:
            pixels: (N, H, W, 3) uint8 RGB, N at least 1.

        Returns:
            Each (N, …) on the device, float32, or of a network from an ONNX file int64.

        Raises:
            NonFiniteOutput: The output of one of the images contains NaN or infinity.
        """


@dataclass(frozen=True)
class ExternalRuntime(Runtime, ABC):
    """A runtime whose networks run elsewhere.

    Device, precision and options are those of what the adapter itself computes after the network.

    Attributes:
        takes_original: Whether the executor of a quantized model gets the float32 network that it was quantized from;
            else such models are refused.
    """

    takes_original: ClassVar[bool] = False

    @abstractmethod
    def executor(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> NetworkExecutor:
        """Makes the executor of a network.

        Args:
            network: The float32 network in evaluation mode that would run here, see
                `models.execution.executor.Executor`.
            preprocessing: Of the model; gives the input's usual size and its normalisation.
        """
