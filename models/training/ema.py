"""The moving average of a network's weights, which predicts better than the weights themselves."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class MovingAverage:
    """Follows a network.

    Args:
        network: What to follow.
        decay: Share of the average that stays at each step, in the end.
        ramp_steps: Steps over which the decay rises from nothing: early weights are soon worthless.
    """

    def __init__(self, network: nn.Module, decay: float, ramp_steps: int) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self._ramp_steps = ramp_steps
        self.steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Takes in one more step of the network's weights and batch norm statistics."""
        self.steps += 1
        decay = self._decay * (1 - math.exp(-self.steps / self._ramp_steps))
        ours, theirs = self.network.state_dict(), network.state_dict()
        moving = [key for key, value in ours.items() if value.is_floating_point()]
        for key in moving:
            ours[key].lerp_(theirs[key], 1 - decay)
        for key in ours.keys() - moving:
            ours[key].copy_(theirs[key])

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.steps = state["steps"]
