"""Runs an image network on batches by OpenVINO; its normalisation is part of the compiled network."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.execution.external import NetworkExecutor
from models.execution.finite import require_finite
from models.execution.openvino_network import OpenVinoNetwork, open_network
from models.execution.pixel_network import PixelNetwork
from models.execution.precision import examples
from models.runtime import Runtime

_PIXELS_PER_PASS: Final = 2**16
"""Images of 224 x 224 pixels and more run one by one. Larger passes are not faster: they take 0.9 to 1.1 times as long
per image on one thread (`loadtests/device.py`), two threads share several images worse than one, and the memory of a
pass stays allocated for the next one: 60 MB for a U-Net and one image of 416 x 416 pixels."""


class OpenVinoExecutor(NetworkExecutor):
    """A network on the CPU. Thread-safe: several threads may run batches at once.

    Args:
        network: From (N, H, W, 3) uint8 RGB to one tensor or several, of N rows each.
    """

    def __init__(self, network: OpenVinoNetwork) -> None:
        self._network = network

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
        step = max(1, _PIXELS_PER_PASS // (pixels.shape[1] * pixels.shape[2]))
        passes = [self._network(pixels[start : start + step]) for start in range(0, len(pixels), step)]
        outputs = passes[0] if len(passes) == 1 else tuple(torch.cat(parts) for parts in zip(*passes, strict=True))
        require_finite(*outputs)
        return outputs
