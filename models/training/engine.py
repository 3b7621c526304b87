"""The training loop of every task: optimiser, schedule, moving average, checkpoints and log.

A run lives in a folder: `log.jsonl` (a line for every few steps and for every epoch) and `checkpoint.pt`, from which a
run that was killed goes on.
"""

import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.training.checkpoints import CannotResume, Checkpoints, check_settings
from models.training.ema import moving_average
from models.training.generators import generator_state, restore_generators
from models.training.interruption import Interruption, RunStopped
from models.training.opponent import AdversarialRecipe, Opponent
from models.training.optimisation import Optimisation
from models.training.recipe import Recipe
from models.training.run_log import RunLog
from models.training.schedule import Schedule
from models.training.stopwatch import Stopwatch

__all__ = [
    "AdversarialRecipe",
    "CannotResume",
    "Progress",
    "Recipe",
    "Run",
    "RunStopped",
    "Schedule",
    "TrainingDiverged",
]

_LOG_EVERY_STEPS: Final = 20
_CHECKPOINT_EVERY_S: Final = 120.0
_GRADIENT_NORM: Final = "gradient_norm"


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        epoch, epochs: From 1, and how many there are.
        step, steps: Steps done of the whole run, and how many there are.
        loss: Mean of the sum of the losses over the last steps; with an opponent, of both networks.
        images_per_s: Speed since the run began or went on.
        remaining_s: Time that the rest will take at this speed.
        figures: What the last evaluation found.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    images_per_s: float
    remaining_s: float
    figures: Mapping[str, float]


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number."""


class Run:
    """One training run in a folder of its own.

    Args:
        recipe: The task.
        schedule: How long and how fast.
        folder: Where log and checkpoint are kept; made where it is missing.
        batch_size: For the speed that is reported.
        precision: `fp32` or `bf16` (by autocast).
        settings: Everything that the run was started with, JSON-able; a checkpoint of other settings is refused.
        report: Called with the progress every few steps and at every evaluation.
    """

    def __init__(
        self,
        recipe: Recipe[Any],
        schedule: Schedule,
        folder: Path,
        batch_size: int,
        precision: str,
        settings: Mapping[str, Any],
        report: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._recipe = recipe
        self._schedule = schedule
        self._batch_size = batch_size
        self._precision = precision
        self._settings = {**settings, "schedule": asdict(schedule)}
        self._report = report
        self._device = next(recipe.network.parameters()).device
        self._optimisation = Optimisation(recipe.parameter_groups(), schedule)
        self._opponent = Opponent(recipe, schedule) if isinstance(recipe, AdversarialRecipe) else None
        self._average = moving_average(recipe.network, schedule.ema_decay, schedule.ema_ramp_steps)
        self._per_epoch = recipe.steps_per_epoch()
        self._steps = schedule.epochs * self._per_epoch
        self._step = 0
        self._evaluated_step = 0
        self._figures: dict[str, float] = {}
        self._progress: Progress | None = None
        self._clock = Stopwatch()
        self._interruption = Interruption()
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpoints = Checkpoints(folder)
        self._log = RunLog(folder / "log.jsonl")

    @property
    def average(self) -> nn.Module:
        """The network with the moving average of the weights: what a run is for."""
        return self._average.module

    @property
    def figures(self) -> Mapping[str, float]:
        """What the last evaluation found."""
        return self._figures

    @property
    def trained_s(self) -> float:
        """Time spent in training so far, over all starts and without evaluation."""
        return self._clock.trained_s

    def resume(self) -> bool:
        """Goes on where the folder's checkpoint is; False where there is none, and the run starts anew.

        Raises:
            CannotResume: The checkpoint is of a run with other settings, the first of which the message names, or
                cannot be read.
        """
        state = self._checkpoints.load()
        if state is not None:
            check_settings(self._checkpoints.newest, json.loads(state["settings"]), self._settings)
            self._recipe.network.load_state_dict(state["network"])
            self._average.module.load_state_dict(state["average"]["network"])
            self._average.n_averaged.fill_(state["average"]["steps"] + 1)
            self._optimisation.load_state_dict(state["optimizer"])
            if self._opponent is not None:
                self._opponent.load_state_dict(state["opponent"])
            self._step, self._figures = state["step"], state["figures"]
            self._evaluated_step = state.get("evaluated_step", self._step)
            self._clock = Stopwatch(state["trained_s"])
            restore_generators(state.get("random", {}), self._device)
        self._log.rewind(self._step)
        return state is not None

    def train(self) -> None:
        """Trains to the end.

        Ctrl-C and SIGTERM end it between two steps, after a checkpoint; a second one ends it where it is.

        Raises:
            TrainingDiverged: The loss became infinite or not a number; the last checkpoint is still good.
            RunStopped: By one of those signals.
        """
        with self._interruption:
            try:
                self._evaluate_if_due()
                while self._step < self._steps:
                    self._train_epoch()
                    self._save()
                    self._evaluate_if_due()
            except RunStopped:
                self._save()
                raise

    def _train_epoch(self) -> None:
        epoch, first = divmod(self._step, self._per_epoch)
        self._recipe.network.train()
        if self._opponent is not None:
            self._opponent.network.train()
        started_at = saved_at = time.monotonic()
        self._clock.start()
        batches = self._recipe.batches(epoch, first)
        try:
            for batch in batches:
                self._interruption.check()
                self._clock.tick(self._learn(batch))
                if self._clock.steps == _LOG_EVERY_STEPS:
                    self._tell()
                if time.monotonic() - saved_at > _CHECKPOINT_EVERY_S:
                    self._save()
                    self._clock.start()
                    saved_at = time.monotonic()
        finally:
            _close(batches)
        self._tell()
        self._log.add({"epoch": epoch + 1, "step": self._step, "epoch_s": time.monotonic() - started_at})

    def _learn(self, batch: Any) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if self._opponent is not None:
            with self._autocast():
                losses |= self._opponent.losses(batch)
            self._opponent.optimisation.step(losses, self._step, self._steps)
        with self._autocast():
            own = self._recipe.losses(batch)
        norm = self._optimisation.step(own, self._step, self._steps)
        self._average.update_parameters(self._recipe.network)
        self._step += 1
        return {**{name: value.detach() for name, value in {**losses, **own}.items()}, _GRADIENT_NORM: norm}

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16")

    def _tell(self) -> None:
        """Logs and reports the steps since it last did; does nothing where there are none."""
        if not self._clock.steps:
            return
        rows, images_per_s = self._clock.stop(self._batch_size)
        parts = {name: float(torch.stack([row[name] for row in rows]).mean()) for name in rows[0]}
        norm = parts.pop(_GRADIENT_NORM)
        loss = sum(parts.values())
        if not math.isfinite(loss + norm):
            raise TrainingDiverged(f"the loss is {loss} at step {self._step}: try a lower learning rate")
        row = {"step": self._step, "loss": loss, **parts, _GRADIENT_NORM: norm}
        self._log.add({**row, "learning_rate": self._optimisation.learning_rate, "images_per_s": images_per_s})
        epoch = (self._step - 1) // self._per_epoch + 1
        done = (epoch, self._schedule.epochs, self._step, self._steps)
        speed, remaining = self._clock.images_per_s, self._clock.seconds_for(self._steps - self._step)
        self._progress = Progress(*done, loss, speed, remaining, self._figures)
        self._report(self._progress)
        self._clock.start()

    def _evaluate_if_due(self) -> None:
        epochs, rest = divmod(self._step, self._per_epoch)
        wanted = self._step == self._steps or epochs % self._schedule.evaluate_every == 0
        if rest or not wanted or self._evaluated_step == self._step:
            return
        started_at = time.monotonic()
        with self._interruption.at_once():
            self._figures = dict(self._recipe.evaluate(self._average.module))
        self._evaluated_step = self._step
        evaluation_s = time.monotonic() - started_at
        self._log.add({"epoch": epochs, "step": self._step, **self._figures, "evaluation_s": evaluation_s})
        if self._progress is not None:
            self._report(replace(self._progress, figures=self._figures))
        self._save()

    def _save(self) -> None:
        self._tell()  # and so finds out whether there is anything worth saving
        self._checkpoints.save(
            {
                "settings": json.dumps(self._settings),
                "network": self._recipe.network.state_dict(),
                "average": {"network": self._average.module.state_dict(), "steps": self._step},
                "optimizer": self._optimisation.state_dict(),
                **({} if self._opponent is None else {"opponent": self._opponent.state_dict()}),
                "step": self._step,
                "evaluated_step": self._evaluated_step,
                "trained_s": self._clock.trained_s,
                "figures": self._figures,
                "random": generator_state(self._device),
            }
        )


def _close(batches: Iterator[Any]) -> None:
    """Ends the threads that make batches ahead."""
    if isinstance(batches, Generator):
        batches.close()
