"""From folders of photos to a model card: what training a detector has in common with training a segmenter."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.catalog.cards import write_card
from models.catalog.lookup import find
from models.datasets.photo_dataset import DatasetError, PhotoDataset
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, Task, WeightsSource
from models.runtime import Runtime
from models.training.augmentation import Augmentation
from models.training.coco import annotation_file, read_coco
from models.training.engine import Progress, Run, Schedule
from models.training.id_maps import is_id_maps, read_id_maps
from models.training.machine import machine_name, training_precision
from models.training.naming import check_name
from models.training.photo_recipe import Objective, PhotoRecipe, PhotoSettings
from models.training.teacher import with_taught_masks
from models.training.transfer import IMAGENET, NOTHING, Frozen, freeze, lite_encoder, start_network


@dataclass(frozen=True)
class PhotoOptions:
    """What to train, from what, and where to.

    Attributes:
        architecture: A name of `models.detection.architectures` or `models.segmentation.architectures`.
        data: Folders in COCO's format, or of numbered pictures (`models.training.id_maps`). The first one's val split
            is held out; where it has none there is no evaluation. The others only add photos to learn from. Of photos
            in COCO's format, those whose file names were met before are left out: held-out ones, and duplicates.
        output: Folder for the card and its weights, and for a folder `NAME.run` with log and checkpoint.
        name: Of the model.
        classes: Categories of COCO's files to find; all of the first folder's where None. Numbered pictures must have
            just these.
        start: `imagenet`, `none`, or a model of the catalog whose weights to start from as far as they fit.
        freeze: What of the backbone keeps its weights.
        arguments: Of the architecture.
        masked_only: Whether photos that have boxes and no masks are left out.
        teacher: An instance segmenter of the catalog that gives photos with boxes only their masks; None to go without.
        device: `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32` or `bf16`.
        class_name: What the objects of numbered pictures are called.
        settings: Sizes, epochs, batch and seed.
        schedule: Learning rates; its epochs are the settings'.
        augmentation: How far images may be from their photos.
        licence: Of the weights to be made, for the card.
        allow_outside: Whether labels and links may lead to files outside the data folders.
    """

    architecture: str
    data: tuple[Path, ...]
    output: Path
    name: str
    classes: tuple[str, ...] | None = None
    start: str = "imagenet"
    freeze: Frozen = "filters"
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict[str, int | float | str | bool])
    class_name: str = "object"
    masked_only: bool = False
    teacher: str | None = None
    device: str = "cpu"
    precision: str = "auto"
    settings: PhotoSettings = field(default_factory=PhotoSettings)
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=30, learning_rate=1.5e-3))
    augmentation: Augmentation = field(default_factory=Augmentation)
    licence: str = "as the data allows"
    allow_outside: bool = False


@dataclass(frozen=True)
class PhotoTask:
    """What is particular about a task.

    Attributes:
        card: From the options and the data to the entry of the model that will be, without figures.
        build: From that entry to a network with random weights.
        objective: Its loss.
        evaluate: Measures a network, whose entry is given, through the adapter that serves it.
        masks: Whether the loss asks for masks.
    """

    card: Callable[[PhotoOptions, PhotoDataset], CatalogEntry]
    build: Callable[[CatalogEntry], nn.Module]
    objective: Objective
    evaluate: Callable[[nn.Module, CatalogEntry, PhotoDataset, Runtime], dict[str, float]]
    masks: bool


def train_on_photos(options: PhotoOptions, task: PhotoTask, report: Callable[[Progress], None]) -> Path:
    """Trains a network, or goes on where the same call was stopped.

    Args:
        options: What and how.
        task: Of the architecture.
        report: Told of every few steps.

    Returns:
        Path of the model card.

    Raises:
        DatasetError: The data cannot be used.
        ValueError: The options do not fit each other, or a run of other options lies in the folder.
        ModelsError: The model to start from cannot be had.
        TrainingDiverged: The loss became infinite or not a number.
    """
    check_name(options.name, options.output)
    options = replace(options, settings=normalised_as(options.settings, options.start))
    training, held_out = _data_for(task, options)
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
        backbone if backbone is not None else nn.Module(),
        task.objective,
        training,
        lambda average: task.evaluate(average, card, held_out, runtime) if held_out else {},
        options.settings,
        options.augmentation,
        task.masks,
    )
    schedule = replace(options.schedule, epochs=options.settings.epochs)
    run = Run(
        recipe,
        schedule,
        options.output / f"{options.name}.run",
        options.settings.batch_size,
        precision,
        _settings(options, training),
        report,
    )
    run.resume()
    run.train()
    card = replace(
        card,
        accuracy=_accuracy(run.figures, held_out, task),
        training={
            **_settings(options, training),
            "machine": machine_name(options.device),
            "precision": precision,
            "training_time_s": round(run.trained_s),
            "weights": "moving average after the last epoch",
        },
    )
    return write_card(options.output, card, run.average.state_dict())


def new_card(options: PhotoOptions, data: PhotoDataset, task: Task, **members: Any) -> CatalogEntry:
    """Makes the entry of a model that is to be trained, without what only its training tells.

    Args:
        options: What and how.
        data: What it learns from.
        task: Of the model.
        members: Of the entry, which are particular about the task.
    """
    settings = options.settings
    usual = CatalogEntry(
        name=options.name,
        version="1",
        task=task,
        architecture=options.architecture,
        weights=WeightsSource("card", "", None, options.licence, "trained by `tapetum train`"),
        preprocessing=LetterboxPreprocessing(settings.side, settings.side, settings.mean, settings.std),
        class_count=len(data.class_names),
        licence="Apache-2.0",
        accuracy=(),
        description=f"Finds {shown_names(data)}.",
        class_names=data.class_names,
        category_ids=data.category_ids,
        arguments=dict(options.arguments),
        segmentation=members.pop("segmentation", None),
    )
    return replace(usual, **members)


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
    preprocessing = find(start).preprocessing
    return replace(settings, mean=preprocessing.mean, std=preprocessing.std)


def read_data(options: PhotoOptions) -> tuple[PhotoDataset, PhotoDataset | None]:
    """Reads the photos to learn from, of all folders, and those that are held out.

    Raises:
        DatasetError: The data cannot be used.
    """
    first, *others = options.data
    held_out = _read(first, "val", options, options.classes) if _has_val(first) else None
    seen = {photo.path.name for photo in held_out.photos} if held_out else set[str]()
    training = _read(first, "train", options, options.classes, seen)
    for folder in others:
        seen |= {photo.path.name for photo in training.photos}
        more = _read(folder, "train", options, training.class_names, seen)
        training = replace(training, name=f"{training.name} + {more.name}", photos=training.photos + more.photos)
    if held_out is not None:
        _check_classes(held_out, training.class_names)
    return training, held_out


def _data_for(task: PhotoTask, options: PhotoOptions) -> tuple[PhotoDataset, PhotoDataset | None]:
    """What `read_data` gives, with the masks that the task asks for."""
    training, held_out = read_data(options)
    if not task.masks:
        return training, held_out
    if held_out is not None:
        held_out = held_out.with_masks()
    if options.masked_only:
        training = training.with_masks()
    if options.teacher is not None:
        training = with_taught_masks(training, options.teacher, Runtime(device=options.device))
    training.with_masks()  # or there is nothing to learn; photos with boxes only are kept
    return training, held_out


def _has_val(folder: Path) -> bool:
    return (folder / "val").is_dir() if is_id_maps(folder) else (folder / "instances_val.json").is_file()


def _read(
    folder: Path,
    split: str,
    options: PhotoOptions,
    classes: tuple[str, ...] | None,
    without: Collection[str] = (),
) -> PhotoDataset:
    if not is_id_maps(folder):
        return read_coco(annotation_file(folder, split), classes, without, allow_outside=options.allow_outside)
    dataset = read_id_maps(folder, split, options.class_name, allow_outside=options.allow_outside)
    if classes is not None:
        _check_classes(dataset, classes)
    return dataset


def _check_classes(dataset: PhotoDataset, class_names: tuple[str, ...]) -> None:
    if dataset.class_names != class_names:
        theirs, ours = (", ".join(names) for names in (dataset.class_names, class_names))
        raise DatasetError(f"{dataset.source}: the classes are {theirs}, and must be {ours}")


def _settings(options: PhotoOptions, training: PhotoDataset) -> dict[str, Any]:
    """What a run was started with, ready for JSON: names of data, no paths of this machine."""
    return {
        "architecture": options.architecture,
        "data": training.name,
        "files": training.fingerprint,
        "photos": len(training.photos),
        "objects": sum(len(photo.boxes) for photo in training.photos),
        "start": options.start,
        "teacher": options.teacher,
        "frozen": options.freeze,
        **asdict(options.settings),
        "augmentation": asdict(options.augmentation),
        "learning_rate": options.schedule.learning_rate,
    }


def _accuracy(figures: Mapping[str, float], held_out: PhotoDataset | None, task: PhotoTask) -> tuple[Accuracy, ...]:
    if held_out is None:
        return ()
    dataset = f"{held_out.name} ({len(held_out.photos)} photos{' with masks' if task.masks else ''})"
    note = "measured at the end of training, through the adapter that serves it"
    return tuple(Accuracy(dataset, metric, round(value, 4), note) for metric, value in figures.items() if value >= 0)
