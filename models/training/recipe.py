"""What a task gives to the training loop: a network, its batches and its losses."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

Batch = TypeVar("Batch")


class Recipe(Protocol[Batch]):
    """What is particular about a task.

    Attributes:
        network: What learns, on its device.
    """

    network: nn.Module

    def parameter_groups(self) -> Sequence[dict[str, Any]]:
        """Groups for the optimiser, see `models.training.optimisation.Optimisation`."""
        ...

    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        ...

    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """The batches of an epoch from the number `first` on; the same ones every time that it is asked."""
        ...

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The parts of the loss of a batch, to be added up."""
        ...

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Measures a network of the same kind; the first figure is the one that counts."""
        ...
