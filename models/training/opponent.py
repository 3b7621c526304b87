"""The second network of an adversarial task, which the training loop moves in every step before the first one."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from models.training.optimisation import Optimisation
from models.training.recipe import Batch, Recipe
from models.training.schedule import Schedule


@runtime_checkable
class AdversarialRecipe(Recipe[Batch], Protocol[Batch]):
    """A task with a second network that learns against the first (arXiv:1406.2661).

    In every step the opponent learns first, then the network, both from the same batch. The moving average is of the
    network alone.

    Attributes:
        opponent: The second network, on the same device.
    """

    opponent: nn.Module

    def opponent_groups(self) -> Sequence[dict[str, Any]]:
        """As `parameter_groups`, of the opponent."""
        ...

    def opponent_losses(self, batch: Batch) -> dict[str, Tensor]:
        """As `losses`, of the opponent, under other names."""
        ...


class Opponent:
    """The opponent of a recipe, its losses and its optimiser.

    Args:
        recipe: The task.
        schedule: How long and how fast, as for the network.

    Attributes:
        network: The opponent.
        losses: From a batch to the parts of its loss.
        optimisation: Moves its parameters.
    """

    def __init__(self, recipe: AdversarialRecipe[Any], schedule: Schedule) -> None:
        self.network = recipe.opponent
        self.losses = recipe.opponent_losses
        self.optimisation = Optimisation(recipe.opponent_groups(), schedule)

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimiser, for a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimisation.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.optimisation.load_state_dict(state["optimizer"])
