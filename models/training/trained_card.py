"""The model card of a training run: before training, and with its weights and figures after it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from torch import nn

from models.catalog.cards import write_card
from models.catalog.version_names import SEPARATOR, split_name
from models.entries import Accuracy, CatalogEntry, WeightsSource
from models.training.engine import Run
from models.training.machine import machine_name
from models.training.naming import FIRST_VERSION
from models.training.run_options import RunOptions

OWN_LICENCE: Final = "Apache-2.0"
"""Licence of the networks whose code is in this repository."""


def untrained_card(
    options: RunOptions, command: str, *, class_names: tuple[str, ...], licence: str = OWN_LICENCE, **members: Any
) -> CatalogEntry:
    """Makes the entry of a model that is to be trained; its accuracy and the facts of its training come later.

    Args:
        options: Name and licence of the weights.
        command: That trains it, such as `tapetum train signal`.
        class_names: One for every class id.
        licence: Of the network's code.
        members: The other members of the entry: task, architecture, preprocessing, description …
    """
    model, version = split_name(options.name)
    return CatalogEntry(
        name=model,
        version=version or FIRST_VERSION,
        weights=WeightsSource("card", "", None, options.licence, f"trained by `{command}`"),
        class_names=class_names,
        class_count=len(class_names),
        licence=licence,
        accuracy=(),
        **members,
    )


def write_trained_card(
    card: CatalogEntry,
    network: nn.Module,
    options: RunOptions,
    run: Run,
    settings: Mapping[str, Any],
    accuracy: tuple[Accuracy, ...],
    **facts: Any,
) -> Path:
    """Writes the card of a trained model, and its weights beside it.

    Args:
        card: See `untrained_card`.
        network: Whose weights are written.
        options: Where to, and where it was trained.
        run: The run, at its end.
        settings: That the run was started with, ready for JSON.
        accuracy: What was measured; see `measured`.
        facts: Further facts of the training, ready for JSON.

    Returns:
        Path of the card.
    """
    training = {
        **settings,
        "machine": machine_name(options.device),
        "training_time_s": round(run.trained_s),
        "weights": "moving average after the last epoch",
        **facts,
    }
    card = replace(card, accuracy=accuracy, training=training)
    return write_card(options.output, card, network.state_dict(), versioned=SEPARATOR in options.name)


def measured(figures: Mapping[str, float], dataset: str, note: str) -> tuple[Accuracy, ...]:
    """The figures of an evaluation for a card, rounded to four decimals.

    Args:
        figures: Value of each metric.
        dataset: What they were measured on, for people.
        note: How.
    """
    return tuple(Accuracy(dataset, metric, round(value, 4), note) for metric, value in figures.items())
