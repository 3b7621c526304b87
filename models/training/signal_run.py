"""`tapetum train signal`: from signals of one class each to a model card."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from models.classification.signal_network import SignalNetwork
from models.datasets.mnist1d import is_mnist1d, open_mnist1d
from models.datasets.opening import open_classes
from models.datasets.samples import ClassTarget, DatasetError, EvaluationSet
from models.entries import CatalogEntry
from models.entries.signal_preprocessing import SIGNAL_CNN, SignalPreprocessing
from models.errors import ImageError
from models.runtime import Runtime
from models.signals.decoding import decode_signal
from models.sources.card_weights import as_stored
from models.training.engine import Progress, Run, Schedule
from models.training.naming import check_name
from models.training.run_options import ClassRunOptions
from models.training.trained_card import measured, untrained_card, write_trained_card


@dataclass(frozen=True, kw_only=True)
class SignalOptions(ClassRunOptions):
    """What to train, from what, and where to.

    Attributes:
        data: `mnist1d`, `mnist1d:SEED:COUNT`, or a NumPy archive with `signals` and `labels`, or a folder with
            `train.npz` and `val.npz`.
    """

    data: str
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 3e-3
    evaluate_every: int = 5


@dataclass(frozen=True, eq=False)
class SignalData:
    """Signals by class.

    Attributes:
        name: Of the data set, for people.
        class_names: One for every class id.
        signals: (N, length) float32, to learn from.
        class_ids: (N,) int64.
        val_signals: (M, length) float32, held out.
        val_class_ids: (M,) int64.
    """

    name: str
    class_names: tuple[str, ...]
    signals: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    val_signals: NDArray[np.float32]
    val_class_ids: NDArray[np.int64]


class SignalRecipe:
    """A `models.training.engine.Recipe` for signals.

    Args:
        network: What learns, on its device: (N, 1, length) to (N, class_count) logits.
        data: What it learns from, and what is held out.
        preprocessing: The normalisation.
        batch_size: Signals a step.
        seed: Of the order.
    """

    def __init__(
        self, network: nn.Module, data: SignalData, preprocessing: SignalPreprocessing, batch_size: int, seed: int
    ) -> None:
        self.network = network
        self._device = next(network.parameters()).device
        self._data = data
        self._preprocessing = preprocessing
        self._signals = torch.as_tensor(preprocessing.normalise(data.signals)[:, None])
        self._class_ids = torch.as_tensor(data.class_ids)
        self._batch_size = min(batch_size, len(data.signals))
        self._seed = seed

    def parameter_groups(self) -> Sequence[dict[str, Any]]:
        """See `models.training.engine.Recipe.parameter_groups`."""
        return ({"params": list(self.network.parameters())},)

    def steps_per_epoch(self) -> int:
        """See `models.training.engine.Recipe.steps_per_epoch`; what does not fill a batch is left out."""
        return len(self._signals) // self._batch_size

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """See `models.training.engine.Recipe.batches`."""
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self._signals))
        for step in range(first, self.steps_per_epoch()):
            chosen = torch.as_tensor(order[step * self._batch_size :][: self._batch_size])
            yield self._signals[chosen].to(self._device), self._class_ids[chosen].to(self._device)

    def losses(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """See `models.training.engine.Recipe.losses`."""
        signals, class_ids = batch
        return {"cross_entropy": cross_entropy(self.network(signals), class_ids)}

    @torch.inference_mode()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """See `models.training.engine.Recipe.evaluate`; with weights as they are stored."""
        served = SignalNetwork(len(self._data.class_names), self._preprocessing.length)
        served.load_state_dict(as_stored(network.state_dict()))
        logits = served.eval()(torch.as_tensor(self._preprocessing.normalise(self._data.val_signals)[:, None]))
        truth = torch.as_tensor(self._data.val_class_ids)
        top1 = float((logits.argmax(1) == truth).float().mean())
        return {"top1": top1, "val_loss": float(cross_entropy(logits, truth))}


def train_signal(options: SignalOptions, report: Callable[[Progress], None] = lambda progress: None) -> Path:
    """Trains a classifier of signals, or goes on where the same call was stopped.

    Args:
        options: What and how.
        report: Called with the progress every few steps.

    Returns:
        Path of the model card.

    Raises:
        DatasetError: The data cannot be used.
        CannotResume: A run of other options lies in the folder.
        ModelsError: The runtime is not possible.
        ValueError: The signals are too short.
        TrainingDiverged: The loss became infinite or not a number.
        RunStopped: By a signal of the operating system; the same call goes on.
    """
    check_name(options.name, options.output)
    runtime = Runtime(options.device, "fp32").resolve()
    data = read_signals(options.data, options.val_share, options.seed)
    length = data.signals.shape[1]
    preprocessing = SignalPreprocessing(length, round(float(data.signals.mean()), 6), _spread(data.signals))
    torch.manual_seed(options.seed)  # pyright: ignore[reportUnknownMemberType]
    network = SignalNetwork(len(data.class_names), length).to(runtime.device)
    recipe = SignalRecipe(network, data, preprocessing, options.batch_size, options.seed)
    schedule = Schedule(options.epochs, options.learning_rate, evaluate_every=options.evaluate_every)
    settings = _settings(options, data, preprocessing)
    run = Run(recipe, schedule, options.run_folder, options.batch_size, "fp32", settings, report)
    run.resume()
    run.train()
    card, val_loss = _card(options, data, preprocessing), round(run.figures["val_loss"], 4)
    note = "measured at the end of training, with the weights that are served"
    dataset = f"{data.name}/val ({len(data.val_signals)} signals)"
    accuracy = measured({"top1": run.figures["top1"]}, dataset, note)
    return write_trained_card(card, run.average, options, run, settings, accuracy, val_loss=val_loss)


def read_signals(spec: str, val_share: float, seed: int) -> SignalData:
    """Reads signals to learn from, and those that are held out.

    Args:
        spec: See `SignalOptions.data`.
        val_share: Share that is held out by chance where there is no val split.
        seed: Of that choice.

    Raises:
        DatasetError: There are none, their lengths differ, or there are fewer than two classes.
    """
    learned, held_out = (
        (open_mnist1d(spec, "train"), open_mnist1d(spec.rpartition(":")[0] if spec.count(":") == 2 else spec))
        if is_mnist1d(spec)
        else open_classes(spec)
    )
    signals, class_ids = _arrays(learned, learned.class_names)
    if held_out is not None:
        val_signals, val_class_ids = _arrays(held_out, learned.class_names)
    else:
        order = np.random.default_rng(seed).permutation(len(signals))
        val, rest = np.split(order, [max(1, round(val_share * len(signals)))])
        val_signals, val_class_ids = signals[val], class_ids[val]
        signals, class_ids = signals[rest], class_ids[rest]
    if len(learned.class_names) < 2 or len(signals) < 2:
        raise DatasetError(f"{spec}: a classifier needs two classes and two signals or more")
    if signals.shape[1] != val_signals.shape[1]:
        raise DatasetError(f"{spec}: signals of {signals.shape[1]} and of {val_signals.shape[1]} numbers")
    name = learned.name.removesuffix("/train")
    return SignalData(name, learned.class_names, signals, class_ids, val_signals, val_class_ids)


def _arrays(data: EvaluationSet, class_names: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    signals: list[NDArray[np.float32]] = []
    class_ids: list[int] = []
    for index in range(len(data)):
        sample = data.load(index)
        assert isinstance(sample.target, ClassTarget)
        name = data.class_names[sample.target.class_id]
        try:
            signals.append(decode_signal(sample.image, len(signals[0]) if signals else None))
            class_ids.append(class_names.index(name))
        except ImageError as error:
            raise DatasetError(f"{data.name}: {sample.name}: {error}") from None
        except ValueError:
            raise DatasetError(f"{data.name}: no signals of class {name!r} to learn from") from None
    return np.stack(signals), np.array(class_ids, np.int64)


def _spread(signals: NDArray[np.float32]) -> float:
    return max(round(float(signals.std()), 6), 1e-6)


def _settings(options: SignalOptions, data: SignalData, preprocessing: SignalPreprocessing) -> dict[str, Any]:
    return {
        "architecture": SIGNAL_CNN,
        "data": options.data if is_mnist1d(options.data) else data.name,
        "signals": len(data.signals),
        "val_signals": len(data.val_signals),
        "length": preprocessing.length,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "seed": options.seed,
    }


def _card(options: SignalOptions, data: SignalData, preprocessing: SignalPreprocessing) -> CatalogEntry:
    return untrained_card(
        options,
        "tapetum train signal",
        class_names=data.class_names,
        task="classification",
        architecture=SIGNAL_CNN,
        preprocessing=preprocessing,
        description=f"Tells apart {len(data.class_names)} classes of signals of {preprocessing.length} numbers.",
        arguments={"length": preprocessing.length},
    )
