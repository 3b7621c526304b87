"""One optimiser step upon parameter groups, at the schedule's learning rate, with clipped gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.training.schedule import Schedule

_MOMENTUM: Final = 0.9
"""Of SGD."""


class Optimisation:
    """Moves the parameters of one network.

    Args:
        groups: Of parameters. A member `scale` multiplies the schedule's learning rate; `betas` are AdamW's, (0.9,
            0.999) where there are none.
        schedule: Optimiser, learning rate, weight decay and gradient clipping.

    Attributes:
        optimizer: The schedule's.
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], schedule: Schedule) -> None:
        self._schedule = schedule
        split = _decayed(groups, schedule.weight_decay)
        self.optimizer = (
            torch.optim.SGD(split, momentum=_MOMENTUM, nesterov=True)
            if schedule.optimizer == "sgd"
            else torch.optim.AdamW(split)
        )

    @property
    def learning_rate(self) -> float:
        """The greatest of the last step."""
        return max(group["lr"] for group in self.optimizer.param_groups)

    def step(self, losses: Mapping[str, Tensor], step: int, steps: int) -> Tensor:
        """Moves the parameters down the gradient of the sum of losses.

        Args:
            losses: Parts of the loss, scalars.
            step: Steps done of the whole run.
            steps: How many there are.

        Returns:
            The norm of the gradient before it was clipped.
        """
        rate = self._schedule.learning_rate * self._schedule.rate(step, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()  # pyright: ignore[reportUnknownMemberType]
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, self._schedule.max_gradient_norm)
        self.optimizer.step()  # pyright: ignore[reportUnknownMemberType]
        return norm

    def state_dict(self) -> dict[str, Any]:
        """The state of the optimiser, for a checkpoint."""
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.optimizer.load_state_dict(state)


def _decayed(groups: Sequence[Mapping[str, Any]], weight_decay: float) -> list[dict[str, Any]]:
    """Splits each group: biases and norms, which have one dimension, are not decayed."""
    split: list[dict[str, Any]] = []
    for group in groups:
        parameters = [parameter for parameter in group["params"] if parameter.requires_grad]
        for decay, wanted in ((weight_decay, True), (0.0, False)):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == wanted]
            if chosen:
                split.append({"scale": 1.0, **group, "params": chosen, "weight_decay": decay})
    return split
