"""`tapetum train generator`: from images by class to a model card of a conditional generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.catalog.generators import load_judge
from models.datasets.label_problems import TellProblems
from models.entries import Accuracy, CatalogEntry
from models.entries.latent_preprocessing import LatentPreprocessing
from models.generation.evaluation import HeldOut, evaluate_generator
from models.generation.image_generator import ImageGenerator
from models.generation.networks import DCGAN, SIDE, Discriminator, Generator
from models.runtime import Runtime
from models.sources.card_weights import as_stored
from models.training.class_data import ClassData, read_class_data
from models.training.engine import Progress, Run, Schedule
from models.training.generator_examples import read_examples
from models.training.generator_recipe import BETAS, OPPONENT_SCALE, OPPONENT_WIDTH, GeneratorRecipe
from models.training.machine import training_precision
from models.training.naming import check_name
from models.training.run_options import ClassRunOptions, LabelledOptions
from models.training.trained_card import measured, untrained_card, write_trained_card

_EVALUATED: Final = 1000
"""Images that an evaluation generates during training."""
_EMA_DECAY: Final = 0.999


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions(LabelledOptions, ClassRunOptions):
    """What to train, from what, and where to.

    Attributes:
        data: See `models.training.class_data.read_class_data`.
        judge: A classifier of the catalog with the classes of the data, which measures the generated images.
        latent_size: Numbers of noise an image.
        width: See `models.generation.networks.Generator`.
        learning_rate: The generator's greatest.

    Raises:
        ValueError: On construction, where a value is out of its range.
    """

    data: Path
    judge: str = "mnist"
    latent_size: int = 64
    width: int = 32
    epochs: int = 50
    batch_size: int = 64
    learning_rate: float = 2e-4
    evaluate_every: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.latent_size < 1 or self.width < 1:
            raise ValueError("the latent size and the width must be at least 1")


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
    options.report_problems(data.problems, tell)
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
    run = Run(recipe, schedule, options.run_folder, options.batch_size, precision, settings, report)
    run.resume()
    run.train()
    accuracy = _accuracy(run.figures, options, data)
    return write_trained_card(card, run.average, options, run, settings, accuracy, precision=precision)


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
    return untrained_card(
        options,
        "tapetum train generator",
        class_names=data.class_names,
        task="generation",
        architecture=DCGAN,
        preprocessing=LatentPreprocessing(options.latent_size, SIDE, SIDE),
        description=f"Generates grey images of {len(data.class_names)} classes, {SIDE} x {SIDE} pixels. Experimental.",
        defaults={"truncation": 1.0},
        arguments={"latent_size": options.latent_size, "width": options.width},
    )


def _accuracy(figures: Mapping[str, float], options: GeneratorOptions, data: ClassData) -> tuple[Accuracy, ...]:
    dataset = f"{data.name}/val ({len(data.val)} images)"
    note = f"of {_EVALUATED} generated images, by {options.judge}; measured at the end of training"
    return measured(figures, dataset, note)
