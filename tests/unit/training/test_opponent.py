"""Two networks that learn against each other: the order, the moving average, and runs that go on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.training.engine import AdversarialRecipe, Run, RunStopped, Schedule
from models.training.optimisation import Optimisation

pytestmark = pytest.mark.usefixtures("one_thread")

PER_EPOCH = 4


class Duel:
    """A generator of one number against a discriminator of two layers; batches follow from epoch and number alone.

    Args:
        stop_at: Number of the step, from 0, during which SIGTERM comes.
    """

    def __init__(self, stop_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.opponent: nn.Module = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.seen: list[float] = []
        self.stop_at = stop_at

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.network.parameters()), "betas": (0.0, 0.9)}]

    def opponent_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.opponent.parameters()), "scale": 2.0}]

    def steps_per_epoch(self) -> int:
        return PER_EPOCH

    def batches(self, epoch: int, first: int) -> Iterator[Tensor]:
        for step in range(first, PER_EPOCH):
            yield torch.randn(8, 2, generator=torch.Generator().manual_seed(100 * epoch + step))

    def losses(self, batch: Tensor) -> dict[str, Tensor]:
        if self.stop_at == len(self.seen) - 1:
            signal.raise_signal(signal.SIGTERM)
        return {"generator": -self.opponent(self.network(batch)).mean()}

    def opponent_losses(self, batch: Tensor) -> dict[str, Tensor]:
        self.seen.append(float(batch.sum()))
        made = self.network(batch).detach()
        return {
            "discriminator": (1 - self.opponent(batch[:, :1])).relu().mean() + (1 + self.opponent(made)).relu().mean()
        }

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        return {"norm": float(network[0].weight.norm())}  # type: ignore[index]


def run_of(recipe: Any, folder: Path, **changes: Any) -> Run:
    schedule = Schedule(**{"epochs": 3, "learning_rate": 0.01, "warm_up_steps": 2} | changes)
    run = Run(recipe, schedule, folder, 8, "fp32", {"seed": 0})
    run.resume()
    return run


def weights(run: Run, recipe: Duel) -> list[Tensor]:
    states = run.average, recipe.network, recipe.opponent
    return [value for network in states for value in network.state_dict().values()]


@pytest.mark.parametrize("stop_at", [0, 3, 6, 9])
def test_a_stopped_run_ends_with_the_same_weights_of_both_networks(tmp_path: Path, stop_at: int) -> None:
    whole = Duel()
    (expected := run_of(whole, tmp_path / "whole")).train()
    with pytest.raises(RunStopped):
        run_of(Duel(stop_at), tmp_path / "run").train()
    rest = Duel()
    (run := run_of(rest, tmp_path / "run")).train()
    assert len(rest.seen) == len(whole.seen) - stop_at - 1
    pairs = zip(weights(run, rest), weights(expected, whole), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_in_every_step_the_opponent_learns_first_and_the_network_against_what_it_became(tmp_path: Path) -> None:
    recipe, by_hand = Duel(), Duel()
    run_of(recipe, tmp_path, epochs=1).train()
    schedule = Schedule(1, 0.01, warm_up_steps=2)
    opponent = Optimisation(by_hand.opponent_groups(), schedule)
    network = Optimisation(by_hand.parameter_groups(), schedule)
    for step, batch in enumerate(by_hand.batches(0, 0)):
        opponent.step(by_hand.opponent_losses(batch), step, PER_EPOCH)
        network.step(by_hand.losses(batch), step, PER_EPOCH)
    for ours, theirs in ((recipe.network, by_hand.network), (recipe.opponent, by_hand.opponent)):
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_the_log_has_the_losses_of_both_networks(tmp_path: Path) -> None:
    run_of(Duel(), tmp_path).train()
    first = (tmp_path / "log.jsonl").read_text().splitlines()[0]
    assert '"discriminator": ' in first and '"generator": ' in first and '"learning_rate": ' in first


def test_a_recipe_with_one_network_is_no_adversarial_one() -> None:
    class Alone:
        network = nn.Linear(1, 1)

    assert isinstance(Duel(), AdversarialRecipe)
    assert not isinstance(Alone(), AdversarialRecipe)


def test_groups_have_their_own_betas_and_scale_of_the_learning_rate() -> None:
    layer = nn.Linear(1, 1)
    found = Optimisation([{"params": list(layer.parameters()), "betas": (0.0, 0.9), "scale": 2.0}], Schedule(1, 0.01))
    found.step({"loss": layer(torch.ones(2, 1)).mean()}, 0, 1)
    groups = found.state_dict()["param_groups"]
    assert [group["betas"] for group in groups] == [(0.0, 0.9)] * 2
    assert found.learning_rate == pytest.approx(0.02)
    assert sorted(group["weight_decay"] for group in groups) == [0.0, Schedule(1).weight_decay]  # biases do not decay
