"""Runs an image network on batches by OpenVINO; its normalisation is part of the compiled network."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.execution.external import NetworkExecutor
from models.execution.finite import require_finite
from models.execution.openvino_network import OpenVinoNetwork, open_network
from models.execution.passes import images_per_pass, run_in_passes
from models.execution.pixel_network import PixelNetwork
from models.execution.precision import examples
from models.runtime import Runtime


class OpenVinoExecutor(NetworkExecutor):
    """A network on the CPU. Thread-safe: several threads may run batches at once.

    Args:
        network: From (N, H, W, 3) uint8 RGB to one tensor or several, of N rows each.
        batch_size: Images of every run; None where it may be any number.
    """

    def __init__(self, network: OpenVinoNetwork, batch_size: int | None = None) -> None:
        self._network = network
        self._batch_size = batch_size

    @classmethod
    def of(
        cls, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing, runtime: Runtime
    ) -> "OpenVinoExecutor":
        """Converts a network.

        Args:
            network: A float32 network in evaluation mode from (N, 3, H, W) to one tensor or several, of N rows each; it
                is not changed.
            preprocessing: Of the model; gives the input's sizes and its normalisation.
            runtime: A resolved runtime.

        Raises:
            NotConvertible: OpenVINO cannot run the network.
        """
        pixel_network = PixelNetwork(network, preprocessing).eval()
        return cls(open_network(pixel_network, *examples(preprocessing), runtime))

    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """See `models.execution.external.NetworkExecutor.run_all`."""
        step = self._batch_size or images_per_pass(*pixels.shape[1:3])
        outputs = run_in_passes(self._network, pixels, step, padded=self._batch_size is not None)
        require_finite(*outputs)
        return outputs
