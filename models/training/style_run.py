"""`tapetum train style`: from a style picture and a folder of photos to a model card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from models.datasets.samples import DatasetError
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing
from models.errors import ImageError
from models.runtime import Runtime
from models.stylization.network import STRIDE, STYLE_NETWORK, StyleNetwork
from models.stylization.perceptual import LossWeights, PerceptualLoss, open_features
from models.stylization.photos import read_style
from models.training.engine import Progress, Run, Schedule
from models.training.naming import check_name
from models.training.run_options import RunOptions
from models.training.style_photos import HELD_OUT, split_photos
from models.training.style_recipe import STEPS_PER_EPOCH, StyleRecipe
from models.training.trained_card import measured, untrained_card, write_trained_card

_LONG_SIDE: Final = 1024
"""Longest side of photos that the network takes, in pixels."""
_LEVELS: Final = (127.5, 127.5, 127.5)
"""Mean and standard deviation by which levels of 0 to 255 become -1 to 1."""


@dataclass(frozen=True, kw_only=True)
class StyleOptions(RunOptions):
    """What to train, from what, and where to.

    Attributes:
        style: Picture with the style, or `stained-glass`, which is drawn by `models.stylization.stained_glass`.
        data: Folder of photos; its subfolders are searched, too.
        style_size: Long side to which the style picture is reduced, in pixels.
        size: Height and width of the crops of photos, a multiple of 4, at least 64.
        steps: Steps to train, a multiple of 100.
        batch_size: Crops a step.
        learning_rate: The greatest.
        weights: Of content, style and total variation.
        seed: Of every random choice.

    Raises:
        ValueError: On construction, where a value is out of its range.
    """

    style: str
    data: Path
    style_size: int = 256
    size: int = 128
    steps: int = 2400
    batch_size: int = 2
    learning_rate: float = 2e-3
    weights: LossWeights = field(default_factory=LossWeights)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 4:
            raise ValueError(f"the size of crops must be a multiple of 4 and at least 64, not {self.size}")
        if self.steps < STEPS_PER_EPOCH or self.steps % STEPS_PER_EPOCH:
            raise ValueError(f"steps must be a multiple of {STEPS_PER_EPOCH}, not {self.steps}")


def train_style(options: StyleOptions, report: Callable[[Progress], None] = lambda progress: None) -> Path:
    """Trains a style network, or goes on where the same call was stopped.

    Args:
        options: What and how.
        report: Called with the progress every few steps.

    Returns:
        Path of the model card.

    Raises:
        DatasetError: The folder has too few photos, or the style picture cannot be read.
        CannotResume: A run of other options lies in the folder.
        ModelsError: The runtime is not possible.
        TrainingDiverged: The loss became infinite or not a number.
        RunStopped: By a signal of the operating system; the same call goes on.
    """
    check_name(options.name, options.output)
    runtime = Runtime(options.device, "fp32").resolve()
    learned, held_out = split_photos(options.data)
    try:
        style = read_style(options.style, options.style_size)
    except (ImageError, OSError) as error:
        raise DatasetError(f"the style picture {options.style} cannot be read: {error}") from None
    torch.manual_seed(options.seed)  # pyright: ignore[reportUnknownMemberType]
    network = StyleNetwork().to(runtime.device)
    features = open_features("efficientnet-lite0", runtime.device)
    pixels = torch.as_tensor(style).to(runtime.device).permute(2, 0, 1)[None].float() / 255
    loss = PerceptualLoss(features, pixels, options.weights)
    recipe = StyleRecipe(network, loss, learned, held_out, options.size, options.batch_size, options.seed)
    settings = _settings(options, style, len(learned))
    epochs = options.steps // STEPS_PER_EPOCH
    schedule = Schedule(epochs, options.learning_rate, weight_decay=0.0, ema_decay=0.99, evaluate_every=4)
    run = Run(recipe, schedule, options.run_folder, options.batch_size, "fp32", settings, report)
    run.resume()
    run.train()
    accuracy, facts = _accuracy(run.figures, options), {"weights": "moving average after the last step"}
    return write_trained_card(_card(options), run.average, options, run, settings, accuracy, **facts)


def _settings(options: StyleOptions, style: np.ndarray[Any, np.dtype[np.uint8]], photos: int) -> dict[str, Any]:
    return {
        "architecture": STYLE_NETWORK,
        "style": Path(options.style).name,
        "style_digest": hashlib.sha256(style.tobytes()).hexdigest()[:12],
        "style_size": options.style_size,
        "data": options.data.name,
        "photos": photos,
        "val_photos": HELD_OUT,
        "size": options.size,
        "steps": options.steps,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "loss_weights": asdict(options.weights),
        "features": "efficientnet-lite0",
        "seed": options.seed,
    }


def _card(options: StyleOptions) -> CatalogEntry:
    return untrained_card(
        options,
        "tapetum train style",
        class_names=("picture",),
        task="stylization",
        architecture=STYLE_NETWORK,
        preprocessing=LetterboxPreprocessing(
            short_side=_LONG_SIDE, long_side=_LONG_SIDE, mean=_LEVELS, std=_LEVELS, stride=STRIDE, enlarge=False
        ),
        description=f"Stylizes photos after {Path(options.style).stem}, at up to {_LONG_SIDE} pixels a side.",
        defaults={"strength": 1.0},
    )


def _accuracy(figures: Mapping[str, float], options: StyleOptions) -> tuple[Accuracy, ...]:
    dataset = f"{options.data.name} ({HELD_OUT} photos, held out)"
    note = (
        f"centre crops of {options.size} pixels at the end of training, before the weights are stored in half precision"
    )
    return measured({name: figures[name] for name in ("content_loss", "style_loss")}, dataset, note)
