"""`tapetum train generator`: from images by class to a model card of a conditional generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.catalog.cards import write_card
from models.catalog.generators import load_judge
from models.catalog.version_names import SEPARATOR, split_name
from models.datasets.label_problems import TellProblems, WrongLabels
from models.entries import Accuracy, CatalogEntry, WeightsSource
from models.generation.evaluation import HeldOut, evaluate_generator
from models.generation.image_generator import ImageGenerator
from models.generation.networks import DCGAN, SIDE, Discriminator, Generator
from models.latent_preprocessing import LatentPreprocessing
from models.runtime import Runtime
from models.sources.card_weights import as_stored
from models.training.class_data import ClassData, read_class_data
from models.training.engine import Progress, Run, Schedule
from models.training.generator_examples import read_examples
from models.training.generator_recipe import BETAS, OPPONENT_SCALE, OPPONENT_WIDTH, GeneratorRecipe
from models.training.machine import machine_name, training_precision
from models.training.naming import FIRST_VERSION, check_name

_LICENCE: Final = "Apache-2.0"
_EVALUATED: Final = 1000
"""Images that an evaluation generates during training."""
_EMA_DECAY: Final = 0.999


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """What to train, from what, and where to.

    Attributes:
        data: See `models.training.class_data.read_class_data`.
        output: Folder for the card and its weights, and for a folder `NAME.run` with log and checkpoint.
        name: Of the model, or `NAME@VERSION`.
        judge: A classifier of the catalog with the classes of the data, which measures the generated images.
        latent_size: Numbers of noise an image.
        width: See `models.generation.networks.Generator`.
        epochs: Passes over the images.
        batch_size: Images a step.
        learning_rate: The generator's greatest.
        evaluate_every: Epochs between two evaluations; the last epoch is always evaluated.
        val_share: Share of each class that is held out where the data has no `val`.
        device: `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32` or `bf16`.
        seed: Of every random choice.
        licence: Of the weights to be made, for the card.
        allow_outside: Whether labels and links may lead to files outside the data folder.
        strict: Whether to stop at a wrong label, rather than leave it out.

    Raises:
        ValueError: On construction, where a value is out of its range.
    """

    data: Path
    output: Path
    name: str
    judge: str = "mnist"
    latent_size: int = 64
    width: int = 32
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 2e-4
    evaluate_every: int = 5
    val_share: float = 0.2
    device: str = "cpu"
    precision: str = "auto"
    seed: int = 0
    licence: str = "as the data allows"
    allow_outside: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2 or self.learning_rate <= 0:
            raise ValueError("epochs must be at least 1, the batch size at least 2, and the learning rate above 0")
        if self.latent_size < 1 or self.width < 1:
            raise ValueError("the latent size and the width must be at least 1")
        if not 0 < self.val_share < 1:
            raise ValueError(f"the val share must be between 0 and 1, not {self.val_share}")


def train_generator(
    options: GeneratorOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    tell: TellProblems = lambda problems: None,
) -> Path:
    """Trains a generator, or goes on where the same call was stopped.

    Args:
        options: What and how.
        report: Called with the progress every few steps.
        tell: Called with the labels that are wrong, before training.

    Returns:
        Path of the model card.

    Raises:
        DatasetError: The data cannot be used.
        WrongLabels: `options.strict`, and there are some.
        CannotResume: A run of other options lies in the folder.
        ValueError: The judge does not know a class of the data, or is no classifier.
        ModelsError: The judge cannot be had, or the runtime.
        TrainingDiverged: The loss became infinite or not a number.
        RunStopped: By a signal; the same call goes on.
    """
    check_name(options.name, options.output)
    runtime = Runtime(options.device).resolve()
    precision = training_precision(options.precision, runtime)
    data = read_class_data(options.data, options.val_share, options.seed, options.allow_outside)
    if options.strict and data.problems:
        raise WrongLabels(data.problems)
    tell(data.problems)
    card = _card(options, data)
    recipe = _recipe(options, data, card, runtime)
    schedule = Schedule(
        options.epochs,
        options.learning_rate,
        weight_decay=0.0,
        ema_decay=_EMA_DECAY,
        evaluate_every=options.evaluate_every,
    )
    settings = _settings(options, data)
    run_folder = options.output / f"{options.name}.run"
    run = Run(recipe, schedule, run_folder, options.batch_size, precision, settings, report)
    run.resume()
    run.train()
    training = {
        **settings,
        "machine": machine_name(runtime.device),
        "precision": precision,
        "training_time_s": round(run.trained_s),
        "weights": "moving average after the last epoch",
    }
    card = replace(card, accuracy=_accuracy(run.figures, options, data), training=training)
    return write_card(options.output, card, run.average.state_dict(), versioned=SEPARATOR in options.name)


def _recipe(options: GeneratorOptions, data: ClassData, card: CatalogEntry, runtime: Runtime) -> GeneratorRecipe:
    judge = load_judge(options.judge)
    held_out = read_examples(data.val)
    reference = HeldOut.of(judge, held_out.images, held_out.class_ids, data.class_names)
    torch.manual_seed(options.seed)  # pyright: ignore[reportUnknownMemberType]
    generator = Generator(len(data.class_names), options.latent_size, options.width).to(runtime.device)
    discriminator = Discriminator(len(data.class_names), OPPONENT_WIDTH * options.width).to(runtime.device)

    def evaluate(average: nn.Module) -> dict[str, float]:
        served = Generator(len(data.class_names), options.latent_size, options.width)
        served.load_state_dict(as_stored(average.state_dict()))
        model = ImageGenerator(card, data.class_names, runtime, served.eval(), weights_digest="")
        return evaluate_generator(model, reference, _EVALUATED)

    examples = read_examples(data.train)
    return GeneratorRecipe(generator, discriminator, examples, evaluate, options.batch_size, options.seed)


def _settings(options: GeneratorOptions, data: ClassData) -> dict[str, Any]:
    """What a run is started with, ready for JSON: names, no paths of this machine."""
    return {
        "architecture": DCGAN,
        "data": data.name,
        "images": len(data.train),
        "val_images": len(data.val),
        "files": data.fingerprint,
        "judge": options.judge,
        "latent_size": options.latent_size,
        "width": options.width,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "opponent_scale": OPPONENT_SCALE,
        "opponent_width": OPPONENT_WIDTH,
        "betas": list(BETAS),
        "precision": options.precision,
        "seed": options.seed,
    }


def _card(options: GeneratorOptions, data: ClassData) -> CatalogEntry:
    model, version = split_name(options.name)
    return CatalogEntry(
        name=model,
        version=version or FIRST_VERSION,
        task="generation",
        architecture=DCGAN,
        weights=WeightsSource("card", "", None, options.licence, "trained by `tapetum train generator`"),
        preprocessing=LatentPreprocessing(options.latent_size, SIDE, SIDE),
        class_count=len(data.class_names),
        licence=_LICENCE,
        accuracy=(),
        description=f"Generates grey images of {len(data.class_names)} classes, {SIDE} x {SIDE} pixels. Experimental.",
        defaults={"truncation": 1.0},
        class_names=data.class_names,
        arguments={"latent_size": options.latent_size, "width": options.width},
    )


def _accuracy(figures: Mapping[str, float], options: GeneratorOptions, data: ClassData) -> tuple[Accuracy, ...]:
    dataset = f"{data.name}/val ({len(data.val)} images)"
    note = f"of {_EVALUATED} generated images, by {options.judge}; measured at the end of training"
    return tuple(Accuracy(dataset, name, round(value, 4), note) for name, value in figures.items())
