"""A training run ends with the same weights however often it was stopped, and says what went wrong where it cannot."""

from __future__ import annotations

import json
import logging
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.training import engine
from models.training.ema import moving_average
from models.training.engine import CannotResume, Progress, Run, RunStopped, Schedule, TrainingDiverged

PER_EPOCH = 5
EPOCHS = 4


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the run sees it coming."""


class Regression:
    """A small recipe with dropout and batch norm, whose batches follow from epoch and number alone.

    Args:
        calls: What to do in the place of some call of `losses` or `evaluate`, counted from 0 over the whole test.
    """

    def __init__(self, calls: dict[str, Any] | None = None, rate_of_first: float = 1.0) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 1))
        self.calls = calls or {}
        self.counts = {"losses": 0, "evaluate": 0}
        self.evaluated: list[int] = []
        self._rate_of_first = rate_of_first

    def parameter_groups(self) -> list[dict[str, Any]]:
        first, *others = list(self.network.children())
        rest = [parameter for module in others for parameter in module.parameters()]
        return [{"params": rest}, {"params": list(first.parameters()), "scale": self._rate_of_first}]

    def steps_per_epoch(self) -> int:
        return PER_EPOCH

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(first, PER_EPOCH):
            generator = torch.Generator().manual_seed(100 * epoch + step)
            inputs = torch.randn(16, 3, generator=generator)
            yield inputs, inputs.sum(1, keepdim=True)

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        inputs, truth = batch
        error = (self.network(inputs) - truth).square().mean()
        return {"error": error * self._called("losses")}

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        self._called("evaluate")
        self.evaluated.append(self.counts["losses"])
        return {"norm": float(network[0].weight.norm())}  # type: ignore[index]

    def _called(self, name: str) -> float:
        count = self.counts[name]
        self.counts[name] += 1
        action: Callable[[], float] = self.calls.get(f"{name} {count}", lambda: 1.0)
        return action()


def raising(kind: type[BaseException]) -> Any:
    def action() -> float:
        raise kind

    return action


def run_of(recipe: Regression, folder: Path, report: Any = lambda progress: None, **changes: Any) -> Run:
    schedule = Schedule(**{"epochs": EPOCHS, "learning_rate": 0.01, "warm_up_steps": 3, "evaluate_every": 2} | changes)
    return Run(recipe, schedule, folder, 16, "fp32", {"seed": 0, "data": {"name": "sums"}}, report)


def finished(recipe: Regression, folder: Path) -> Run:
    run = run_of(recipe, folder)
    run.resume()
    run.train()
    return run


def rows(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def learned(folder: Path) -> list[dict[str, float]]:
    """The log without what differs from one start to the next."""
    timed = {"time", "images_per_s", "epoch_s", "evaluation_s"}
    return [{key: value for key, value in row.items() if key not in timed} for row in rows(folder)]


def weights(run: Run, recipe: Regression) -> list[Tensor]:
    return [*run.average.state_dict().values(), *recipe.network.state_dict().values()]


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def uninterrupted(tmp_path: Path) -> tuple[list[Tensor], list[dict[str, float]]]:
    recipe = Regression()
    run = finished(recipe, tmp_path / "whole")
    return weights(run, recipe), learned(tmp_path / "whole")


@pytest.mark.parametrize("killed_at", [1, 5, 7, 10, 19])
@pytest.mark.parametrize("checkpoint_every_s", [-1.0, 1e9], ids=["every step", "every epoch"])
def test_a_killed_run_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: Any, killed_at: int, checkpoint_every_s: float
) -> None:
    monkeypatch.setattr(engine, "_CHECKPOINT_EVERY_S", checkpoint_every_s)
    with pytest.raises(Killed):
        finished(Regression({f"losses {killed_at}": raising(Killed)}), tmp_path / "run")
    recipe = Regression()
    run = finished(recipe, tmp_path / "run")
    assert recipe.counts["losses"] == EPOCHS * PER_EPOCH - (
        killed_at if checkpoint_every_s < 0 else killed_at // PER_EPOCH * PER_EPOCH
    )
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights(run, recipe), uninterrupted[0], strict=True))


def test_the_log_of_a_killed_run_is_that_of_one_that_was_not(tmp_path: Path, uninterrupted: Any) -> None:
    with pytest.raises(Killed):
        finished(Regression({"losses 13": raising(Killed)}), tmp_path / "run")
    with (tmp_path / "run" / "log.jsonl").open("a") as file:
        file.write('{"step": 12, "loss": 1.0}\n{"step": 13, "lo')  # what the checkpoint does not know, and half a line
    finished(Regression(), tmp_path / "run")
    assert learned(tmp_path / "run") == uninterrupted[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_between_two_steps_after_a_checkpoint(
    tmp_path: Path, uninterrupted: Any, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    interrupted = Regression({"losses 7": lambda: (signal.raise_signal(number), 1.0)[1]})
    with pytest.raises(RunStopped) as stopped:
        finished(interrupted, tmp_path / "run")
    assert (stopped.value.number, interrupted.counts["losses"]) == (number, 8)
    assert signal.getsignal(number) is before
    recipe = Regression()
    run = finished(recipe, tmp_path / "run")
    assert recipe.counts["losses"] == EPOCHS * PER_EPOCH - 8
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights(run, recipe), uninterrupted[0], strict=True))


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    def twice() -> float:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    with pytest.raises(KeyboardInterrupt):
        finished(Regression({"losses 7": twice}), tmp_path)


def test_an_evaluation_that_was_interrupted_is_made_up_for(tmp_path: Path) -> None:
    def interrupted() -> float:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError

    with pytest.raises(RunStopped):
        finished(Regression({"evaluate 1": interrupted}), tmp_path)
    recipe = Regression()
    run = finished(recipe, tmp_path)
    assert (recipe.counts["losses"], recipe.evaluated) == (0, [0])
    assert run.figures == {"norm": pytest.approx(float(run.average[0].weight.norm()))}  # type: ignore[index]


def test_evaluation_comes_every_so_many_epochs_and_at_the_end(tmp_path: Path) -> None:
    recipe = Regression()
    run = run_of(recipe, tmp_path, epochs=5)
    run.train()
    assert recipe.evaluated == [10, 20, 25]


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    first = finished(Regression(), tmp_path)
    recipe = Regression()
    again = finished(recipe, tmp_path)
    assert recipe.counts == {"losses": 0, "evaluate": 0}
    assert again.figures == first.figures
    assert again.trained_s == first.trained_s > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": 0.02}, "schedule.learning_rate 0.01, not 0.02"),
        ({"epochs": 5}, "schedule.epochs 4, not 5"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    finished(Regression(), tmp_path)
    with pytest.raises(CannotResume, match=f"checkpoint.pt is of a run with {message}: give the same options"):
        run_of(Regression(), tmp_path, **changes).resume()


def test_settings_within_settings_are_named_too(tmp_path: Path) -> None:
    finished(Regression(), tmp_path)
    run = Run(Regression(), Schedule(epochs=EPOCHS), tmp_path, 16, "fp32", {"seed": 0, "data": {"name": "products"}})
    with pytest.raises(CannotResume, match=r"data\.name 'sums', not 'products'"):
        run.resume()


def test_a_truncated_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, uninterrupted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with pytest.raises(Killed):
        finished(Regression({"losses 12": raising(Killed)}), tmp_path / "run")
    newest = tmp_path / "run" / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
    recipe = Regression()
    run = finished(recipe, tmp_path / "run")
    assert "checkpoint.pt is truncated or corrupt" in caplog.text
    assert recipe.counts["losses"] == 10
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights(run, recipe), uninterrupted[0], strict=True))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_where_no_checkpoint_can_be_read_nothing_is_trained(tmp_path: Path, content: bytes) -> None:
    finished(Regression(), tmp_path)
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CannotResume, match=r"checkpoint.pt and checkpoint.previous.pt cannot be read"):
        run_of(Regression(), tmp_path).resume()


def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_last_good_checkpoint(
    tmp_path: Path, uninterrupted: Any
) -> None:
    with pytest.raises(TrainingDiverged, match="the loss is nan at step 10"):
        finished(Regression({"losses 7": lambda: math.nan}), tmp_path / "run")
    recipe = Regression()
    run = finished(recipe, tmp_path / "run")
    assert recipe.counts["losses"] == EPOCHS * PER_EPOCH - 5
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights(run, recipe), uninterrupted[0], strict=True))


def test_a_group_learns_at_its_share_of_the_rate(tmp_path: Path) -> None:
    recipe = Regression(rate_of_first=0.0)
    before = recipe.network[0].weight.clone()  # type: ignore[index]
    finished(recipe, tmp_path)
    assert torch.equal(recipe.network[0].weight, before)  # type: ignore[index]
    assert not torch.equal(recipe.network[3].weight, Regression().network[3].weight)  # type: ignore[index]


def test_each_group_ends_at_the_same_share_of_its_own_learning_rate(tmp_path: Path) -> None:
    rates: list[list[float]] = []
    recipe = Regression(rate_of_first=0.1)
    run = run_of(recipe, tmp_path, epochs=5, warm_up_steps=2)
    optimizer = run._optimisation.optimizer  # type: ignore[reportPrivateUsage]
    optimizer.register_step_post_hook(lambda *_: rates.append([group["lr"] for group in optimizer.param_groups]))
    run.train()
    scales = [group["scale"] for group in optimizer.param_groups]
    assert {*scales} == {1.0, 0.1}
    middle, last = (0.02 + 0.98 * (1 + math.cos(math.pi * at / 23)) / 2 for at in (11, 22))
    for step, share in ((0, 0.5), (1, 1.0), (2, 1.0), (13, middle), (24, last)):
        assert rates[step] == pytest.approx([0.01 * share * scale for scale in scales], rel=1e-9), step


def test_a_checkpoint_holds_the_average_and_its_steps(tmp_path: Path) -> None:
    run = finished(Regression(), tmp_path)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
    assert {*saved} == {"network", "steps"} and saved["steps"] == EPOCHS * PER_EPOCH
    assert all(torch.equal(value, run.average.state_dict()[name]) for name, value in saved["network"].items())


def test_what_is_reported_is_where_the_run_is(tmp_path: Path) -> None:
    reports: list[Progress] = []
    run_of(Regression(), tmp_path, reports.append).train()
    first, last = reports[0], reports[-1]
    assert (first.epoch, first.epochs, first.step, first.steps, first.figures) == (1, 4, 5, 20, {})
    assert first.remaining_s == pytest.approx(15 * 16 / first.images_per_s)
    assert (last.epoch, last.step, last.remaining_s, list(last.figures)) == (4, 20, 0, ["norm"])


def test_the_log_has_what_a_plot_needs(tmp_path: Path) -> None:
    finished(Regression(), tmp_path)
    steps = [row for row in rows(tmp_path) if "loss" in row]
    assert [row["step"] for row in steps] == [5, 10, 15, 20]
    assert set(steps[0]) == {"time", "step", "loss", "error", "gradient_norm", "learning_rate", "images_per_s"}
    assert steps[0]["learning_rate"] == pytest.approx(0.01 * Schedule(epochs=4, warm_up_steps=3).rate(4, 20), abs=1e-6)
    assert [(row["epoch"], row["step"]) for row in rows(tmp_path) if "norm" in row] == [(2, 10), (4, 20)]


def test_the_learning_rate_grows_in_a_line_and_falls_in_half_a_cosine() -> None:
    schedule = Schedule(epochs=1, warm_up_steps=4, final_share=0.02)
    rates = [schedule.rate(step, 44) for step in (0, 1, 3, 4, 14, 24, 44)]
    after_a_quarter = 0.02 + 0.98 * (1 + math.sqrt(0.5)) / 2
    assert rates == pytest.approx([0.25, 0.5, 1.0, 1.0, after_a_quarter, 0.51, 0.02])


def test_a_short_run_warms_up_for_a_tenth_of_its_steps() -> None:
    schedule = Schedule(epochs=1, warm_up_steps=200)
    assert [schedule.rate(step, 20) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert schedule.rate(0, 5) == 1.0


def test_a_schedule_needs_an_epoch() -> None:
    with pytest.raises(ValueError, match="epochs must be at least 1, not 0"):
        Schedule(epochs=0)


def test_the_moving_average_moves_by_its_share() -> None:
    network = nn.BatchNorm1d(1)
    average = moving_average(network, decay=0.75, ramp_steps=2)
    wanted = 1.0
    for step, value in ((1, 5.0), (2, -3.0)):
        network.load_state_dict(
            {**network.state_dict(), "weight": torch.tensor([value]), "num_batches_tracked": torch.tensor(step)}
        )
        average.update_parameters(network)
        decay = 0.75 * (1 - math.exp(-step / 2))
        wanted = decay * wanted + (1 - decay) * value
    state = average.module.state_dict()
    assert state["weight"].item() == pytest.approx(wanted)
    assert state["num_batches_tracked"].item() == 2
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
    assert not average.module.training
