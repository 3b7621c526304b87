"""`tapetum train classifier`: from folders of images to a model card."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from models.classification.architectures import build_classifier, known_classifiers
from models.classification.small_networks import SMALL_NETWORKS
from models.datasets.label_problems import TellProblems
from models.entries import Accuracy, CatalogEntry, Preprocessing
from models.runtime import Runtime
from models.training.class_data import ClassData, read_class_data
from models.training.classifier import ClassificationRecipe, ClassifierSettings, quicken_strided_depthwise
from models.training.classifier_card import check_size, new_card
from models.training.classifier_evaluation import TOP, accuracy, as_served
from models.training.classifier_start import IMAGENET, NOTHING, start_classifier
from models.training.crops import CropAugmentation
from models.training.engine import Progress, Run, Schedule
from models.training.machine import training_precision
from models.training.naming import check_name
from models.training.run_options import ClassRunOptions, LabelledOptions
from models.training.schedule import Optimizer
from models.training.trained_card import measured, write_trained_card

_RATE: Final = 3e-3
_RATE_FROM_NOTHING: Final = 1e-3


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(LabelledOptions, ClassRunOptions):
    """What to train, from what, and where to.

    Attributes:
        architecture: A name of `models.classification.architectures`.
        data: See `models.training.class_data.read_class_data`.
        start: `imagenet`, `none`, a name of the catalog, or the path of a model card.
        freeze_backbone: Whether only a new last layer learns.
        size: Side of the images in pixels; where None, the architecture's own, but for images that are smaller than 64
            pixels theirs.
        early_size: Side of the images in all but the last epochs, of an architecture that takes any size; where None,
            always `size`.
        closing_epochs: How many epochs at the end see images of `size`; where None, half of them.
        learning_rate: The greatest; where None, 0.003, and 0.001 where training starts from nothing. `sgd` wants more.
        optimizer: See `models.training.schedule.Optimizer`.
        weight_decay: See `models.training.schedule.Schedule`.
        ema_decay: Likewise.
        label_smoothing: See `models.training.classifier.ClassifierSettings`.
        flip: Whether mirror images show the same class.
        crop_padding: Pixels by which images are padded for a random crop of their own size; 0: crops of random size.
        invert: Share of images whose colours are inverted, 0 to 1.

    Raises:
        ValueError: On construction, where a value is out of its range.
    """

    architecture: str
    data: Path
    start: str = "imagenet"
    freeze_backbone: bool = False
    size: int | None = None
    epochs: int = 20
    early_size: int | None = None
    closing_epochs: int | None = None
    batch_size: int = 32
    learning_rate: float | None = None
    optimizer: Optimizer = "adamw"
    weight_decay: float = 0.02
    ema_decay: float = 0.998
    label_smoothing: float = 0.1
    evaluate_every: int = 1
    flip: bool = True
    crop_padding: int = 0
    invert: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture not in known_classifiers():
            raise ValueError(f"there is no classifier architecture {self.architecture!r}")
        if self.weight_decay < 0 or not 0 <= self.label_smoothing < 1:
            raise ValueError("the weight decay must be 0 or more, and the label smoothing from 0 to below 1")
        if not 0 <= self.ema_decay < 1:
            raise ValueError("the decay of the moving average must be from 0 to below 1")
        if self.crop_padding < 0 or not 0 <= self.invert <= 1:
            raise ValueError("the crop padding must be 0 or more, and the share of inverted images from 0 to 1")
        if self.architecture in SMALL_NETWORKS and self.start == IMAGENET:
            raise ValueError(
                f"{self.architecture} has no ImageNet weights; start from none, or from a model of its own"
            )
        if self.freeze_backbone and self.start == NOTHING:
            raise ValueError("a frozen backbone needs weights to start from; take another start than none")

    @property
    def early_epochs(self) -> int:
        """Epochs at the early size."""
        closing = self.epochs // 2 if self.closing_epochs is None else self.closing_epochs
        return 0 if self.early_size is None else max(0, self.epochs - closing)


def train_classifier(
    options: ClassifierOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    tell: TellProblems = lambda problems: None,
) -> Path:
    """Trains a classifier, or goes on where the same call was stopped.

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
        ValueError: The options do not fit each other.
        ModelsError: The model to start from cannot be had, or the runtime.
        TrainingDiverged: The loss became infinite or not a number.
        RunStopped: By a signal; the same call goes on.
    """
    check_name(options.name, options.output)
    runtime = Runtime(options.device).resolve()
    precision = training_precision(options.precision, runtime)
    folders = read_class_data(options.data, options.val_share, options.seed, options.allow_outside)
    options.report_problems(folders.problems, tell)
    card = new_card(options, options.architecture, options.size, folders)
    recipe = _recipe(options, folders, card, runtime)
    if precision == "bf16" and not runtime.on_gpu:
        quicken_strided_depthwise(recipe.network)
    schedule = _schedule(options)
    settings = _settings(options, folders, recipe, schedule)
    batch_size = min(options.batch_size, len(folders.train))
    run = Run(recipe, schedule, options.run_folder, batch_size, precision, settings, report)
    run.resume()
    run.train()
    accuracy, val_loss = _accuracy(run.figures, folders, runtime), round(run.figures["val_loss"], 4)
    facts = {"precision": precision, "val_loss": val_loss}
    return write_trained_card(card, run.average, options, run, settings, accuracy, **facts)


def _recipe(
    options: ClassifierOptions, folders: ClassData, card: CatalogEntry, runtime: Runtime
) -> ClassificationRecipe:
    assert isinstance(card.preprocessing, Preprocessing)
    torch.manual_seed(options.seed)  # pyright: ignore[reportUnknownMemberType]
    if options.early_size is not None:
        check_size(card.architecture, options.early_size)
    network = build_classifier(card.architecture, card.class_count, card.arguments)
    start_classifier(network, card.architecture, options.start, folders.class_names)
    settings = ClassifierSettings(
        size=card.preprocessing.crop,
        batch_size=options.batch_size,
        seed=options.seed,
        mean=card.preprocessing.mean,
        std=card.preprocessing.std,
        frozen=options.freeze_backbone,
        trained_before=options.start != NOTHING,
        early_size=options.early_size,
        early_epochs=options.early_epochs,
        label_smoothing=options.label_smoothing,
    )

    def evaluate(average: nn.Module) -> dict[str, float]:
        return accuracy(as_served(average, card, runtime), folders.val)

    augmentation = CropAugmentation.for_size(settings.size, options.flip, options.crop_padding, options.invert)
    return ClassificationRecipe(network.to(runtime.device), folders.train, evaluate, settings, augmentation)


def _schedule(options: ClassifierOptions) -> Schedule:
    usual_rate = _RATE_FROM_NOTHING if options.start == NOTHING else _RATE
    rate = usual_rate if options.learning_rate is None else options.learning_rate
    return Schedule(
        epochs=options.epochs,
        learning_rate=rate,
        optimizer=options.optimizer,
        weight_decay=options.weight_decay,
        ema_decay=options.ema_decay,
        evaluate_every=options.evaluate_every,
    )


def _settings(
    options: ClassifierOptions, folders: ClassData, recipe: ClassificationRecipe, schedule: Schedule
) -> dict[str, Any]:
    """What a run is started with, ready for JSON: names, no paths of this machine."""
    return {
        "architecture": options.architecture,
        "data": folders.name,
        "images": len(folders.train),
        "val_images": len(folders.val),
        "files": folders.fingerprint,
        "start": Path(options.start).stem if options.start.endswith(".json") else options.start,
        "epochs": options.epochs,
        "learning_rate": schedule.learning_rate,
        "optimizer": schedule.optimizer,
        "weight_decay": schedule.weight_decay,
        "ema_decay": schedule.ema_decay,
        "precision": options.precision,
        **asdict(recipe.settings),
        "augmentation": asdict(recipe.augmentation),
    }


def _accuracy(figures: Mapping[str, float], folders: ClassData, runtime: Runtime) -> tuple[Accuracy, ...]:
    dataset = f"{folders.name}/val ({len(folders.val)} images)"
    device = "GPU" if runtime.on_gpu else "CPU"
    note = f"measured at the end of training, as it is served on a {device} in {runtime.precision}"
    metrics = ("top1", f"top{TOP}")
    return measured({name: figures[name] for name in metrics if name in figures}, dataset, note)
