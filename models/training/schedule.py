"""The learning-rate schedule of a training run: linear warm-up, then cosine decay."""

import math
from dataclasses import dataclass
from typing import Final, Literal

Optimizer = Literal["adamw", "sgd"]
"""AdamW (arXiv:1711.05101), or stochastic gradient descent with Nesterov's momentum."""

_LONGEST_WARM_UP: Final = 0.1


@dataclass(frozen=True)
class Schedule:
    """Epochs, learning rate, weight decay, gradient clipping and moving average of a training run.

    Attributes:
        epochs: Passes over the data.
        learning_rate: The greatest, of a parameter group whose `scale` is 1.
        final_share: What is left of it at the end of the cosine.
        warm_up_steps: Steps of linear growth at the start; at most a tenth of all.
        optimizer: Which.
        weight_decay: Of matrices and kernels only.
        max_gradient_norm: Longer gradients are shortened to this.
        ema_decay: Of the moving average.
        ema_ramp_steps: Over which that decay rises.
        evaluate_every: Epochs between two evaluations; the last epoch is always evaluated.
    """

    epochs: int
    learning_rate: float = 1e-3
    final_share: float = 0.02
    warm_up_steps: int = 200
    optimizer: Optimizer = "adamw"
    weight_decay: float = 0.02
    max_gradient_norm: float = 10.0
    ema_decay: float = 0.998
    ema_ramp_steps: int = 300
    evaluate_every: int = 5

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("evaluate_every", self.evaluate_every)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")

    def rate(self, step: int, total: int) -> float:
        """The learning rate of a step as a share of the greatest: a line up, then half a cosine down.

        torch's `CosineAnnealingLR` has one final learning rate for all parameter groups; here each group ends at the
        same share of its own.
        """
        warm_up_steps = min(self.warm_up_steps, int(total * _LONGEST_WARM_UP))
        if step < warm_up_steps:
            return (step + 1) / warm_up_steps
        progress = (step - warm_up_steps) / max(1, total - warm_up_steps)
        return self.final_share + (1 - self.final_share) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
