"""A runtime whose network runs at a Triton server; everything after the network is computed in the replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.entries import LetterboxPreprocessing, Preprocessing
from models.execution.executor import Executor, normalise
from models.execution.external import ExternalRuntime, NetworkExecutor
from models.execution.finite import require_finite
from models.runtime import Runtime
from services.deployments.triton.remote_model import Reference, RemoteModel

_TEST_SIDE: Final = 416
"""The test image has at most this many pixels a side, rounded up to the stride."""


@dataclass(frozen=True, kw_only=True)
class TritonRuntime(ExternalRuntime):
    """A runtime of one model at a Triton server.

    Attributes:
        remote: The model there; it is watched as soon as the model is loaded here.
    """

    remote: RemoteModel

    def executor(self, network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> NetworkExecutor:
        """See `ExternalRuntime.executor`. The network runs here once, for the test image."""
        self.remote.start(_reference(network, preprocessing))
        return RemoteExecutor(self.remote)

    def to_dict(self) -> dict[str, Any]:
        """See `models.runtime.Runtime.to_dict`."""
        name, version = self.remote.place
        return {**super().to_dict(), "backend": "triton", "server_model": name, "server_version": version}


class RemoteExecutor(NetworkExecutor):
    """Runs batches at a Triton server.

    Args:
        remote: The model there.
    """

    def __init__(self, remote: RemoteModel) -> None:
        self._remote = remote

    def run_all(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, ...]:
        """See `models.execution.external.NetworkExecutor.run_all`."""
        outputs = tuple(torch.tensor(output, dtype=torch.float32) for output in self._remote.infer(pixels))
        require_finite(*outputs)
        return outputs


def _reference(network: nn.Module, preprocessing: Preprocessing | LetterboxPreprocessing) -> Reference:
    pixels = np.random.default_rng(0).integers(0, 256, (1, *_test_size(preprocessing), 3), np.uint8)
    plain = Executor(network, preprocessing, Runtime(precision="fp32", channels_last=False, fuse=False))
    mean, std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)
    return Reference(
        pixels,
        tuple(output.numpy() for output in plain.run_all(pixels)),
        lambda images: normalise(torch.from_numpy(images), mean, std).contiguous().numpy(),
    )


def _test_size(preprocessing: Preprocessing | LetterboxPreprocessing) -> tuple[int, int]:
    height, width = preprocessing.largest_size
    if isinstance(preprocessing, Preprocessing):
        return height, width
    most = -(-_TEST_SIDE // preprocessing.stride) * preprocessing.stride
    return min(height, most), min(width, most)
