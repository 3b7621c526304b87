"""From folders of photos to the card of a detector: what `tapetum train detector` does."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FasterRCNN

from models.adapter import Adapter, DetectionParameters
from models.card_weights import as_stored
from models.cards import write_card
from models.catalog import find
from models.detection.architectures import build_detector, candidate_network
from models.detection.detector import Detector
from models.detection.yolov1 import YoloV1
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing, WeightsSource
from models.runtime import Runtime
from models.training.augmentation import Augmentation
from models.training.average_precision import average_precision
from models.training.coco import CocoDataset, annotation_file, read_coco
from models.training.detector import DetectionRecipe, DetectorSettings
from models.training.engine import Progress, Run, Schedule
from models.training.faster_rcnn_loss import faster_rcnn_loss
from models.training.machine import machine_name, training_precision
from models.training.naming import check_name
from models.training.transfer import IMAGENET, NOTHING, Frozen, freeze, lite_backbone, start_detector
from models.training.yolov1_loss import yolov1_loss
from models.training.yolox_loss import Target, yolox_loss

_EVALUATED: Final = DetectionParameters(score_threshold=0.001, iou_threshold=0.6, max_detections=100)
"""COCO counts the hundred best; the threshold of overlap is the official YOLOX evaluation's 0.65, a little stricter."""


@dataclass(frozen=True)
class DetectorOptions:
    """What to train, from what, and where to.

    Attributes:
        architecture: A name of `models.detection.architectures`.
        data: Folders in COCO's format. The first one's val split is held out; where it has none there is no
            evaluation. The others only add photos to learn from; those whose file names are in the val split are
            left out.
        output: Folder for the card and its weights, and for a folder `NAME.run` with log and checkpoint.
        name: Of the model.
        classes: Categories to find; all of the first folder's where None.
        start: `imagenet`, `none`, or a model of the catalog whose weights to start from as far as they fit.
        freeze: What of the backbone keeps its weights.
        arguments: Of the architecture.
        device: `cpu`, `cuda` or `cuda:N`.
        precision: `auto`, `fp32` or `bf16`.
        settings: Sizes, epochs, batch and seed.
        schedule: Learning rates; its epochs are the settings'.
        augmentation: How far images may be from their photos.
        licence: Of the weights to be made, for the card.
    """

    architecture: str
    data: tuple[Path, ...]
    output: Path
    name: str
    classes: tuple[str, ...] | None = None
    start: str = "imagenet"
    freeze: Frozen = "filters"
    arguments: Mapping[str, int | float | str | bool] = field(default_factory=dict[str, int | float | str | bool])
    device: str = "cpu"
    precision: str = "auto"
    settings: DetectorSettings = field(default_factory=DetectorSettings)
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=30, learning_rate=1.5e-3))
    augmentation: Augmentation = field(default_factory=Augmentation)
    licence: str = "as the data allows"


def train_detector(options: DetectorOptions, report: Callable[[Progress], None] = lambda progress: None) -> Path:
    """Trains a detector, or goes on where the same call was stopped.

    Args:
        options: What and how.
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
    training, held_out = read_data(options)
    torch.manual_seed(options.settings.seed)
    network = build_detector(options.architecture, len(training.class_names), options.arguments)
    start_detector(network, options.start)
    if (backbone := lite_backbone(network)) is not None:
        freeze(backbone, options.freeze)
    network.to(options.device)
    runtime = Runtime(device=options.device, precision="auto").resolve()
    precision = training_precision(options.precision, runtime)
    card = _card(options, training)
    recipe = DetectionRecipe(
        network,
        backbone if backbone is not None else nn.Module(),
        _objective,
        training,
        lambda average: evaluate(average, card, held_out, runtime) if held_out else {},
        options.settings,
        options.augmentation,
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
        accuracy=_accuracy(run.figures, held_out),
        training={
            **_settings(options, training),
            "machine": machine_name(options.device),
            "precision": precision,
            "training_time_s": round(run.trained_s),
            "weights": "moving average after the last epoch",
        },
    )
    return write_card(options.output, card, run.average.state_dict())


def normalised_as(settings: DetectorSettings, start: str) -> DetectorSettings:
    """Gives settings the normalisation of pixels that a start was trained with: the official YOLOX takes raw ones.

    Args:
        settings: To be changed where the start is a model.
        start: See `DetectorOptions`.

    Raises:
        ModelsError: There is no such model.
    """
    if start in (IMAGENET, NOTHING):
        return settings
    preprocessing = find(start).preprocessing
    return replace(settings, mean=preprocessing.mean, std=preprocessing.std)


def read_data(options: DetectorOptions) -> tuple[CocoDataset, CocoDataset | None]:
    """Reads the photos to learn from, of all folders, and those that are held out.

    Raises:
        DatasetError: The data cannot be used.
    """
    first, *others = options.data
    held_out = None
    if (first / "instances_val.json").is_file():
        held_out = read_coco(annotation_file(first, "val"), options.classes)
    seen = {photo.path.name for photo in held_out.photos} if held_out else set[str]()
    training = read_coco(annotation_file(first, "train"), options.classes, seen)
    for folder in others:
        seen |= {photo.path.name for photo in training.photos}
        more = read_coco(annotation_file(folder, "train"), training.class_names, seen)
        training = replace(training, name=f"{training.name} + {more.name}", photos=training.photos + more.photos)
    return training, held_out


def _objective(network: nn.Module, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """The loss that belongs to a network."""
    if isinstance(network, FasterRCNN):
        return faster_rcnn_loss(network, images, targets)
    if isinstance(network, YoloV1):
        return yolov1_loss(network(images), targets, network.boxes_per_cell)
    return yolox_loss(network(images), targets)


def evaluate(network: nn.Module, card: CatalogEntry, dataset: CocoDataset, runtime: Runtime) -> dict[str, float]:
    """Measures a network through the adapter that serves it.

    Args:
        network: Whose weights to measure; it is not changed.
        card: Its entry; says how it is built and how images are prepared.
        dataset: What to measure on.
        runtime: Where and how, resolved.

    Returns:
        See `models.training.average_precision.average_precision`.
    """
    assert isinstance(card.preprocessing, LetterboxPreprocessing)
    served = build_detector(card.architecture, card.class_count, card.arguments).eval()
    served.load_state_dict(as_stored(network.state_dict()))
    candidates = candidate_network(served, card.preprocessing, runtime)
    return evaluate_adapter(Detector(card, dataset.class_names, runtime, candidates, weights_digest=""), dataset)


def evaluate_adapter(adapter: Adapter[Any, Any], dataset: CocoDataset) -> dict[str, float]:
    """Measures a loaded detector, as COCO does.

    Args:
        adapter: The detector; its classes are those of the data set.
        dataset: What to measure on.

    Returns:
        See `models.training.average_precision.average_precision`.
    """
    found = (adapter.predict([photo.path.read_bytes()], _EVALUATED)[0] for photo in dataset.photos)
    return average_precision(dataset, found)


def _card(options: DetectorOptions, training: CocoDataset) -> CatalogEntry:
    class_names = training.class_names
    return CatalogEntry(
        name=options.name,
        version="1",
        task="detection",
        architecture=options.architecture,
        weights=WeightsSource("card", "", None, options.licence, "trained by `tapetum train detector`"),
        preprocessing=LetterboxPreprocessing(
            options.settings.side, options.settings.side, options.settings.mean, options.settings.std
        ),
        class_count=len(class_names),
        licence="Apache-2.0",
        accuracy=(),
        description=f"Finds {', '.join(class_names[:5])}{' …' if len(class_names) > 5 else ''}.",
        defaults={"score_threshold": 0.25, "iou_threshold": 0.5, "max_detections": 100},
        class_names=class_names,
        category_ids=training.category_ids,
        arguments=dict(options.arguments),
    )


def _settings(options: DetectorOptions, training: CocoDataset) -> dict[str, Any]:
    """What a run was started with, ready for JSON: names of data, no paths of this machine."""
    return {
        "architecture": options.architecture,
        "data": training.name,
        "files": training.fingerprint,
        "photos": len(training.photos),
        "objects": sum(len(photo.boxes) for photo in training.photos),
        "start": options.start,
        "frozen": options.freeze,
        **asdict(options.settings),
        "augmentation": asdict(options.augmentation),
        "learning_rate": options.schedule.learning_rate,
    }


def _accuracy(figures: Mapping[str, float], held_out: CocoDataset | None) -> tuple[Accuracy, ...]:
    if held_out is None:
        return ()
    dataset = f"{held_out.name} ({len(held_out.photos)} photos)"
    note = "measured at the end of training, by pycocotools"
    return tuple(
        Accuracy(dataset, metric.lower(), round(value, 4), note) for metric, value in figures.items() if value >= 0
    )
