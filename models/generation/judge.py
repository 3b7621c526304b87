"""A classifier that judges generated images: by its last hidden layer, for the FID, and by the classes that it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.entries import Preprocessing
from models.execution.executor import normalise
from models.execution.finite import require_finite
from models.imaging.crop import resize_and_crop

_BATCH: Final = 250


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a classifier sees in images.

    Attributes:
        features: (N, D) float32, what its last linear layer takes.
        class_ids: (N,) int64, the most probable class of each.
    """

    features: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.class_ids)


class Judge:
    """A classifier in float32 on the CPU, with its last hidden layer.

    Args:
        name: Of the model, for the figures' notes.
        network: In evaluation mode, from normalised (N, 3, H, W) to (N, class_count) logits.
        preprocessing: Of the model.
        class_names: One for every class id.

    Raises:
        ValueError: The network has no linear layer.
    """

    def __init__(
        self, name: str, network: nn.Module, preprocessing: Preprocessing, class_names: tuple[str, ...]
    ) -> None:
        linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError(f"{name} has no linear layer whose input would be features")
        self.name = name
        self.class_names = class_names
        self._network = network
        self._last = linear[-1]
        self._preprocessing = preprocessing
        self._mean, self._std = torch.tensor(preprocessing.mean), torch.tensor(preprocessing.std)

    @torch.inference_mode()
    def look_at(self, images: NDArray[np.uint8]) -> Judgement:
        """Classifies images.

        Args:
            images: (N, H, W) uint8, grey; N at least 1.

        Raises:
            NonFiniteOutput: The network returned NaN or infinity for one of them.
        """
        features: list[Tensor] = []
        handle = self._last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        try:
            logits = [self._network(self._inputs(images[first:][:_BATCH])) for first in range(0, len(images), _BATCH)]
        finally:
            handle.remove()
        seen, scores = torch.cat(features), torch.cat(logits)
        require_finite(seen, scores)
        return Judgement(seen.numpy(), scores.argmax(1).numpy())

    def _inputs(self, images: NDArray[np.uint8]) -> Tensor:
        pixels: list[Any] = [
            resize_and_crop(np.repeat(image[..., None], 3, axis=2), self._preprocessing) for image in images
        ]
        return normalise(torch.as_tensor(np.stack(pixels)), self._mean, self._std)
