"""Optimisers move weights by their published rules."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from models.training.optimisation import Optimisation
from models.training.schedule import Optimizer, Schedule

RATE, DECAY, MOMENTUM = 0.1, 0.01, 0.9
STEPS = 20


FLAT = Schedule(epochs=1, learning_rate=RATE, warm_up_steps=0, final_share=1.0, weight_decay=DECAY)
"""Its rate stays what it is."""


def test_sgd_has_nesterovs_momentum_and_decays_matrices_only() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    inputs, truth = torch.randn(8, 3).double(), torch.randn(8, 2).double()
    weight, bias = (parameter.detach().clone() for parameter in (layer.weight, layer.bias))
    speeds = [torch.zeros_like(weight), torch.zeros_like(bias)]
    taken = Optimisation([{"params": list(layer.parameters())}], replace(FLAT, optimizer="sgd"))
    for step in range(STEPS):
        taken.step({"error": (layer(inputs) - truth).square().mean()}, step, STEPS)
        error = 2 * (inputs @ weight.T + bias - truth) / truth.numel()
        slopes = [error.T @ inputs + DECAY * weight, error.sum(0)]
        for index, (value, slope) in enumerate(zip((weight, bias), slopes, strict=True)):
            speeds[index] = MOMENTUM * speeds[index] + slope
            value -= RATE * (slope + MOMENTUM * speeds[index])
    assert torch.allclose(layer.weight, weight) and torch.allclose(layer.bias, bias)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_state_of_an_optimiser_is_restored(optimizer: Optimizer) -> None:
    def moved(stop: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        layer = nn.Linear(3, 1)
        inputs = torch.randn(8, 3)
        taken = Optimisation([{"params": list(layer.parameters())}], replace(FLAT, optimizer=optimizer))
        for step in range(STEPS):
            if step == stop:
                state = taken.state_dict()
                taken = Optimisation([{"params": list(layer.parameters())}], replace(FLAT, optimizer=optimizer))
                taken.load_state_dict(state)
            taken.step({"error": layer(inputs).square().mean()}, step, STEPS)
        return layer.weight.detach()

    assert torch.equal(moved(None), moved(7))
