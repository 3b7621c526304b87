"""The training run that detectors, segmenters and pose estimators share: from a data set to a model card."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.catalog.lookup import find
from models.datasets.label_problems import TellProblems
from models.datasets.photo_dataset import PhotoDataset
from models.datasets.samples import Kind
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, Task
from models.runtime import Runtime
from models.training.augmentation import Augmentation
from models.training.engine import Progress, Run, Schedule
from models.training.machine import training_precision
from models.training.naming import check_name
from models.training.photo_data import HeldOut, PhotoData, read_photo_data
from models.training.photo_recipe import Objective, PhotoRecipe, PhotoSettings
from models.training.run_options import PhotoDataOptions
from models.training.teacher import with_taught_masks
from models.training.trained_card import measured, untrained_card, write_trained_card
from models.training.transfer import ANOTHER, IMAGENET, NOTHING, Frozen, freeze, lite_encoder, start_network

_MASKED: Final = ("instance", "semantic")
"""Kinds of data whose masks are read."""


@dataclass(frozen=True, kw_only=True)
class PhotoOptions(PhotoDataOptions):
    """What to train, from what, and where to.

    Attributes:
        classes: To find; all of the first data set where None. Pictures of class ids must have just these.
        freeze: What of the backbone keeps its weights.
        arguments: Of the architecture.
        masked_only: Whether photos that have boxes and no masks are left out.
        teacher: An instance segmenter of the catalog that gives photos with boxes only their masks; None to go without.
        class_name: What the objects of numbered pictures are called.
        settings: Sizes, epochs, batch and seed.
        schedule: Learning rates; its epochs are the settings'.
        augmentation: How far images may be from their photos.
    """

    classes: tuple[str, ...] | None = None
    freeze: Frozen = "filters"
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict[str, int | float | str | bool])
    class_name: str = "object"
    masked_only: bool = False
    teacher: str | None = None
    settings: PhotoSettings = field(default_factory=PhotoSettings)
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=30, learning_rate=1.5e-3))
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class PhotoTask:
    """What is particular about a task.

    Attributes:
        card: From the options and the data to the entry of the model that will be, without figures.
        build: From that entry to a network with random weights.
        objective: Its loss.
        evaluate: Measures a network, whose entry is given, through the adapter that serves it.
        kind: What the data is read for.
        fit: Changes options to what the data allows; leaves them as they are by default.
        slow: The part of a network that was trained before and learns more slowly; its EfficientNet-Lite0 where None.
        frozen: What the objective leaves as it is, for the card; None: what the options say.
    """

    card: Callable[[PhotoOptions, PhotoDataset], CatalogEntry]
    build: Callable[[CatalogEntry], nn.Module]
    objective: Objective
    evaluate: Callable[[nn.Module, CatalogEntry, HeldOut, Runtime], dict[str, float]]
    kind: Callable[[PhotoOptions], Kind]
    fit: Callable[[PhotoOptions, PhotoDataset], PhotoOptions] = lambda options, data: options
    slow: Callable[[nn.Module], nn.Module] | None = None
    frozen: str | None = None


def train_on_photos(
    options: PhotoOptions, task: PhotoTask, report: Callable[[Progress], None], tell: TellProblems
) -> Path:
    """Trains a network, or goes on where the same call was stopped.

    Args:
        options: What and how.
        task: Of the architecture.
        report: Called with the progress every few steps.
        tell: Called with the labels that are wrong, before training.

    Returns:
        Path of the model card.

    Raises:
        DatasetError: The data cannot be used.
        WrongLabels: `options.strict`, and there are some.
        ValueError: The options do not fit each other, or a run of other options lies in the folder.
        ModelsError: The model to start from cannot be had.
        TrainingDiverged: The loss became infinite or not a number.
    """
    check_name(options.name, options.output)
    options = replace(options, settings=normalised_as(options.settings, options.start))
    kind = task.kind(options)
    data = read_data(options, kind, tell)
    training, held_out = data.training, data.held_out
    options = task.fit(options, training)
    torch.manual_seed(options.settings.seed)
    card = task.card(options, training)
    network = task.build(card)
    start_network(network, options.start)
    backbone = lite_encoder(network)
    if backbone is None:
        options = replace(options, freeze="none")  # as the card is to say
    else:
        freeze(backbone, options.freeze)
    network.to(options.device)
    runtime = Runtime(device=options.device, precision="auto").resolve()
    precision = training_precision(options.precision, runtime)
    recipe = PhotoRecipe(
        network,
        task.slow(network) if task.slow is not None else backbone or nn.Module(),
        task.objective,
        training,
        lambda average: task.evaluate(average, card, held_out, runtime) if held_out else {},
        options.settings,
        options.augmentation,
        kind in _MASKED,
    )
    schedule = replace(options.schedule, epochs=options.settings.epochs)
    settings = _settings(options, training, task)
    run = Run(recipe, schedule, options.run_folder, options.settings.batch_size, precision, settings, report)
    run.resume()
    run.train()
    accuracy = _accuracy(run.figures, held_out)
    return write_trained_card(card, run.average, options, run, settings, accuracy, precision=precision)


def new_card(options: PhotoOptions, data: PhotoDataset, task: Task, **members: Any) -> CatalogEntry:
    """Makes the entry of a model that is to be trained, without what only its training tells.

    Args:
        options: What and how.
        data: What it learns from.
        task: Of the model.
        members: Of the entry, which are particular about the task.
    """
    settings = options.settings
    usual: dict[str, Any] = {
        "preprocessing": LetterboxPreprocessing(settings.side, settings.side, settings.mean, settings.std),
        "description": f"Finds {shown_names(data)}.",
        "class_names": data.class_names,
        "category_ids": data.category_ids,
        "arguments": dict(options.arguments),
    }
    return untrained_card(
        options, "tapetum train", task=task, architecture=options.architecture, **{**usual, **members}
    )


def shown_names(data: PhotoDataset) -> str:
    """The first classes, for people."""
    return f"{', '.join(data.class_names[:5])}{' …' if len(data.class_names) > 5 else ''}"


def normalised_as(settings: PhotoSettings, start: str) -> PhotoSettings:
    """Gives settings the normalisation of pixels that a start was trained with: the official YOLOX takes raw ones.

    Args:
        settings: To be changed where the start is a model.
        start: See `PhotoOptions`.

    Raises:
        ModelsError: There is no such model.
    """
    if start in (IMAGENET, NOTHING):
        return settings
    preprocessing = find(start.split(ANOTHER)[-1]).image_preprocessing
    return replace(settings, mean=preprocessing.mean, std=preprocessing.std)


def read_data(options: PhotoOptions, kind: Kind, tell: TellProblems = lambda problems: None) -> PhotoData:
    """Reads the photos to learn from, with the masks that training asks for, and those that are held out.

    Args:
        options: What and how.
        kind: What the data is read for.
        tell: Called with the labels that are wrong.

    Raises:
        DatasetError: The data cannot be used.
        WrongLabels: `options.strict`, and there are some.
    """
    data = read_photo_data(options.data, kind, options.classes, options.class_name, options.allow_outside)
    options.report_problems(data.problems, tell)
    if kind not in _MASKED:
        return data
    training = data.training.with_masks() if options.masked_only else data.training
    if options.teacher is not None:
        training = with_taught_masks(training, options.teacher, Runtime(device=options.device))
    training.with_masks()  # or there is nothing to learn; photos with boxes only are kept
    return replace(data, training=training)


def _settings(options: PhotoOptions, training: PhotoDataset, task: PhotoTask) -> dict[str, Any]:
    """What a run was started with, ready for JSON: names of data, no paths of this machine."""
    return {
        "architecture": options.architecture,
        "data": training.name,
        "files": training.fingerprint,
        "photos": len(training.photos),
        "objects": sum(len(photo.boxes) for photo in training.photos),
        "start": options.start,
        "teacher": options.teacher,
        "frozen": task.frozen or options.freeze,
        **asdict(options.settings),
        "augmentation": asdict(options.augmentation),
        "learning_rate": options.schedule.learning_rate,
    }


def _accuracy(figures: Mapping[str, float], held_out: HeldOut | None) -> tuple[Accuracy, ...]:
    if held_out is None:
        return ()
    dataset = f"{held_out.name} ({len(held_out)} photos{' with masks' if held_out.kind in _MASKED else ''})"
    note = "measured at the end of training, through the adapter that serves it"
    return measured({metric: value for metric, value in figures.items() if value >= 0}, dataset, note)
