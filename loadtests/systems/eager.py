"""Models as a tutorial would serve them: PIL, plain torch, eager fp32.

The networks and their weights are those of `models`; nothing of Tapetum's faster decoding, folding, precision or
post-processing is used.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from models.entries import CatalogEntry, Task
from models.sources.weights_files import fetch, load_into, read_state_dict

StateDict = dict[str, Tensor]


class EagerModel(ABC):
    """Photos in, JSON-able answers out, in three steps that a server may spread over threads.

    Args:
        entry: The model's catalog entry.
        network: Its network, which gets its weights here.
        renamed: From the state dict of the weights file to that of the network.
    """

    def __init__(
        self, entry: CatalogEntry, network: nn.Module, renamed: Callable[[StateDict], StateDict] = dict
    ) -> None:
        path = fetch(entry)
        state, _ = read_state_dict(entry, path)
        load_into(network, renamed(state), entry, path)
        self.entry = entry
        self.network = network.eval()

    def preprocess(self, data: bytes) -> tuple[Tensor, tuple[int, int]]:
        """A photo's (3, H, W) float32 network input, of one size for all photos, and its own (height, width)."""
        image = Image.open(io.BytesIO(data)).convert("RGB")
        return self.tensor(image), (image.height, image.width)

    def forward(self, batch: Tensor) -> Tensor:
        """(N, 3, H, W) to the output for each of the N photos, (N, …) float32."""
        with torch.inference_mode():
            return self.output(batch)

    def answer(self, output: Tensor, size: Sequence[int]) -> dict[str, Any]:
        """The answer to one photo, in the shape of Tapetum's.

        Args:
            output: The photo's share of what `forward` gave.
            size: (height, width) of the photo.
        """
        height, width = size
        return {
            "model": self.entry.name,
            "version": self.entry.version,
            "image": {"height": height, "width": width},
            "predictions": self.predictions(output, (height, width)),
            "cached": False,
        }

    @abstractmethod
    def tensor(self, image: Image.Image) -> Tensor:
        """The network's input, (3, H, W) float32."""

    @abstractmethod
    def output(self, batch: Tensor) -> Tensor:
        """What `forward` gives."""

    @abstractmethod
    def predictions(self, output: Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
        """The rows of one photo's answer, best first."""


def load_eager(task: Task) -> EagerModel:
    """The eager model of a task; the code of the other tasks is not loaded."""
    if task == "classification":
        from loadtests.systems.eager_classifier import EagerClassifier

        return EagerClassifier()
    if task == "detection":
        from loadtests.systems.eager_detector import EagerDetector

        return EagerDetector()
    from loadtests.systems.eager_segmenter import EagerSegmenter

    return EagerSegmenter()
