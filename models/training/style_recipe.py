"""The recipe of style networks: crops of photos, and the perceptual loss of their stylized versions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from models.stylization.perceptual import PerceptualLoss
from models.training.style_photos import cropped

STEPS_PER_EPOCH: Final = 100
"""Steps between two lines of a run's log; photos are drawn at random."""
_SHIFTS: Final = 4
"""Images are shifted by 0 to 3 pixels before they are compared: a loss on one grid of strides leaves a pattern."""


class StyleRecipe:
    """A `models.training.engine.Recipe` for style networks.

    Args:
        network: What learns, on its device.
        loss: The perceptual loss, on the same device.
        photos: Files to learn from, at least one.
        val_photos: Files that are held out, at least one.
        side: Height and width of the crops in pixels.
        batch_size: Crops a step.
        seed: Of photos, crops and shifts.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: PerceptualLoss,
        photos: Sequence[Path],
        val_photos: Sequence[Path],
        side: int,
        batch_size: int,
        seed: int,
    ) -> None:
        self.network = network
        self._device = next(network.parameters()).device
        self._loss = loss
        self._photos = photos
        self._val_photos = val_photos
        self._side = side
        self._batch_size = batch_size
        self._seed = seed

    def parameter_groups(self) -> Sequence[dict[str, Any]]:
        """See `models.training.engine.Recipe.parameter_groups`."""
        return ({"params": list(self.network.parameters())},)

    def steps_per_epoch(self) -> int:
        """See `models.training.engine.Recipe.steps_per_epoch`."""
        return STEPS_PER_EPOCH

    def batches(self, epoch: int, first: int) -> Iterator[Tensor]:
        """See `models.training.engine.Recipe.batches`; (N, 3, side, side) RGB, 0 to 1."""
        for step in range(first, STEPS_PER_EPOCH):
            random = np.random.default_rng((self._seed, epoch, step))
            chosen: list[int] = random.integers(len(self._photos), size=self._batch_size).tolist()
            crops = [cropped(self._photos[index], self._side, random) for index in chosen]
            yield self._on_device(np.stack(crops))

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        """See `models.training.engine.Recipe.losses`."""
        shifts = tuple(int(shift) for shift in torch.randint(_SHIFTS, (2,)))
        stylized = self.network(batch * 2 - 1).roll(shifts, (2, 3))
        found = self._loss(stylized, self._loss.content_of(batch.roll(shifts, (2, 3))))
        weights = self._loss.weights
        return {
            "content": weights.content * found.content,
            "style": weights.style * found.style,
            "variation": weights.variation * found.variation,
        }

    @torch.inference_mode()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """See `models.training.engine.Recipe.evaluate`: mean losses of centre crops, without weights but the total."""
        rows: list[list[float]] = []
        for path in self._val_photos:
            crop = self._on_device(np.stack([cropped(path, self._side)]))
            found = self._loss(network(crop * 2 - 1), self._loss.content_of(crop))
            rows.append([float(part) for part in (found.total, found.content, found.style, found.variation)])
        names = ("val_loss", "content_loss", "style_loss", "total_variation")
        return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))

    def _on_device(self, crops: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
        return torch.as_tensor(crops).to(self._device).permute(0, 3, 1, 2).float() / 255
