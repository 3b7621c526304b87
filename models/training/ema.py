"""The exponential moving average (EMA) of a network's weights, which predicts better than the weights themselves."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def moving_average(network: nn.Module, decay: float, ramp_steps: int) -> AveragedModel:
    """Starts the average of a network's weights and buffers; call its `update_parameters` after every step.

    Args:
        network: Copied; the copy (`module`) is in evaluation mode.
        decay: Share of the average that stays at each step, in the end.
        ramp_steps: Steps over which the decay rises from nothing: early weights are soon worthless.
    """

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        share = 1 - decay * (1 - math.exp(-int(steps) / ramp_steps))
        for ours, theirs in zip(averaged, current, strict=True):
            if ours.is_floating_point():
                ours.lerp_(theirs, share)
            else:  # a counter of batch norm
                ours.copy_(theirs)

    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    average.n_averaged += 1  # the initial weights count, or else the first update would replace them
    average.eval().requires_grad_(False)
    return average
