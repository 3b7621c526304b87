"""Trains the keypoint branch of a detector on regions that were pooled before."""

# pyright: reportUnknownMemberType=false

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.datasets.prefetch import made_ahead
from models.training.keypoint_loss import keypoint_loss
from models.training.pose_regions import PooledRegions


@dataclass(frozen=True)
class PoseSettings:
    """How to train a keypoint branch.

    Attributes:
        views: Of each photo, see `models.training.pose_regions.RegionMaker.make`.
        flip: Whether every second view is mirrored; of data without sides in its key points none is.
        epochs: Passes over `share` of the regions.
        share: Of the regions that an epoch sees, drawn at random.
        batch_size: Regions a step.
        seed: Of every random choice.

    Raises:
        ValueError: On construction, where there is no epoch or nothing in a batch.
    """

    views: int = 3
    flip: bool = True
    epochs: int = 5
    share: float = 0.5
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size), ("views", self.views)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {self.share}")


class PoseRecipe:
    """A `models.training.engine.Recipe` for the keypoint branch.

    Args:
        branch: From pooled regions (R, C, 14, 14) to logits (R, K, 28, 28), on its device.
        regions: What to learn from.
        evaluate: Measures a branch.
        settings: How.
    """

    def __init__(
        self,
        branch: nn.Module,
        regions: PooledRegions,
        evaluate: Callable[[nn.Module], dict[str, float]],
        settings: PoseSettings,
    ) -> None:
        self.network = branch.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._regions = regions
        self._evaluate = evaluate
        self._settings = settings

    def parameter_groups(self) -> Sequence[dict[str, Any]]:
        """See `models.training.engine.Recipe.parameter_groups`."""
        return ({"params": list(self.network.parameters())},)

    def steps_per_epoch(self) -> int:
        """See `models.training.engine.Recipe.steps_per_epoch`; what does not fill a batch is left out."""
        return max(1, int(self._settings.share * len(self._regions)) // self._settings.batch_size)

    def batches(self, epoch: int, first: int) -> Generator[tuple[Tensor, Tensor], None, None]:
        """See `models.training.engine.Recipe.batches`; they are read ahead, in a thread."""
        order = np.random.default_rng((self._settings.seed, epoch)).permutation(len(self._regions))
        size = self._settings.batch_size
        chosen = (order[step * size :][:size] for step in range(first, self.steps_per_epoch()))
        return made_ahead(self._regions.batch, chosen)

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """See `models.training.engine.Recipe.losses`."""
        device = next(self.network.parameters()).device
        features, points = (part.to(device) for part in batch)
        features = features.float().contiguous(memory_format=torch.channels_last)
        return keypoint_loss(self.network(features), points)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """See `models.training.engine.Recipe.evaluate`."""
        return self._evaluate(network)
