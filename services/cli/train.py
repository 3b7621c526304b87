"""`tapetum train`: from a folder of images to a model that `tapetum serve` serves."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from services.cli.console import CommandError, no_such_model
from services.cli.option_groups import takes
from services.cli.train_options import (
    ClassifierFlags,
    DetectorFlags,
    GeneratorFlags,
    MultitaskFlags,
    PhotoFlags,
    PoseFlags,
    SegmenterFlags,
    SignalFlags,
    StyleFlags,
)
from services.cli.training_session import run_training, show_note, show_preparation

if TYPE_CHECKING:
    from models.datasets.label_problems import TellProblems
    from models.training.augmentation import Augmentation
    from models.training.engine import Progress
    from models.training.photo_run import PhotoOptions
    from models.training.pose_run import PoseOptions

app = typer.Typer(no_args_is_help=True, help="Train and fine-tune models on your own images.")

_EARLY_SHARE = 0.85
_CLOSING_SHARE = 0.25
_SIDE_MULTIPLE = 32
_POSE_SCALE = (0.7, 1.4)
_POSE_BATCH, _POSE_RATE = 8, 4e-4
_BRANCH_BATCH, _BRANCH_RATE = 32, 1.5e-3


@app.command(epilog="Example: tapetum train classifier --model torchvision/resnet18 --data flowers --freeze-backbone")
@takes(ClassifierFlags)
def classifier(flags: ClassifierFlags) -> None:
    """Train a classifier on folders by class.

    What is left of an interrupted run goes on with the same command. The best start for few images is
    --freeze-backbone; with more, leave it out.
    """
    name = flags.name or _name_after(flags.data, flags.model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.classification.architectures import known_classifiers
        from models.training.classifier_run import ClassifierOptions, train_classifier

        if flags.model not in known_classifiers():
            raise no_such_model(flags.model, known_classifiers())
        given = {key: value for key, value in vars(flags).items() if key not in ("model", "name")}
        return train_classifier(ClassifierOptions(architecture=flags.model, name=name, **given), report, tell)

    run_training(train, name, flags.output, "classify IMAGE")


@app.command(epilog="Example: tapetum train detector --model yolox-efficientnet-lite0 --data plates --name plates")
@takes(DetectorFlags)
def detector(flags: DetectorFlags) -> None:
    """Train a detector on photos with boxes.

    What is left of an interrupted run goes on with the same command.
    """
    name = flags.name or _name_after(flags.data[0], flags.model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.detection.architectures import known_detectors
        from models.training.augmentation import Augmentation
        from models.training.detector_run import train_detector

        if flags.model not in known_detectors():
            raise no_such_model(flags.model, known_detectors())
        augmentation = Augmentation() if flags.flip else Augmentation(flip=0.0)
        return train_detector(_photo_options(flags, flags.model, name, augmentation), report, tell)

    run_training(train, name, flags.output, "detect IMAGE")


@app.command(epilog="Example: tapetum train segmenter --model unet-efficientnet-lite0 --data cells --native --size 256")
@takes(SegmenterFlags)
def segmenter(flags: SegmenterFlags) -> None:
    """Train a segmenter on photos with masks: a U-Net for classes, a Mask R-CNN for objects.

    What is left of an interrupted run goes on with the same command.
    """
    name = flags.name or _name_after(flags.data[0], flags.model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.segmentation.architectures import known_segmenters, segmentation_of
        from models.training.augmentation import Augmentation
        from models.training.segmenter_run import train_segmenter

        if flags.model not in known_segmenters():
            raise no_such_model(flags.model, known_segmenters())
        arguments = {"anchor_scale": flags.anchor_scale, "max_regions": flags.max_regions}
        arguments = {key: value for key, value in arguments.items() if value is not None}
        if segmentation_of(flags.model) == "instance" and flags.native:
            raise CommandError("--native is for a U-Net: a Mask R-CNN is served with the whole photo, not in tiles", 2)
        if segmentation_of(flags.model) == "semantic" and arguments:
            raise CommandError("--anchor-scale and --max-regions are for a Mask R-CNN: a U-Net looks for no objects", 2)
        scale = (flags.least_scale, flags.greatest_scale)
        augmentation = Augmentation(mosaic=flags.mosaic, scale=scale, flip=0.5 if flags.flip else 0.0)
        options = _photo_options(
            flags,
            flags.model,
            name,
            augmentation.turned() if flags.turn else augmentation,
            native=flags.native,
            class_name=flags.class_name,
            masked_only=flags.masked_only,
            teacher=flags.teacher,
            arguments=arguments,
        )
        return train_segmenter(options, report, tell)

    run_training(train, name, flags.output, "segment IMAGE")


@app.command(epilog="Example: tapetum train multitask --data people --masked-only --name my-people")
@takes(MultitaskFlags)
def multitask(flags: MultitaskFlags) -> None:
    """Train one network that counts objects, and finds them with boxes, masks and pixel by pixel.

    What is left of an interrupted run goes on with the same command.
    """
    name = flags.name or _name_after(flags.data[0], flags.model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.multitask.architectures import known_multitask
        from models.training.augmentation import Augmentation
        from models.training.multitask_run import train_multitask

        if flags.model not in known_multitask():
            raise no_such_model(flags.model, known_multitask())
        scale = (flags.least_scale, flags.greatest_scale)
        augmentation = Augmentation(mosaic=flags.mosaic, scale=scale, flip=0.5 if flags.flip else 0.0)
        others = {"masked_only": flags.masked_only, "teacher": flags.teacher}
        options = _photo_options(flags, flags.model, name, augmentation, **others)
        return train_multitask(options, report, tell, flags.heads_only)

    run_training(train, name, flags.output, "analyze")


@app.command(epilog="Example: tapetum train pose --data person --start mask-rcnn-person --name my-pose")
@takes(PoseFlags)
def pose(flags: PoseFlags) -> None:
    """Teach a detector the key points of the objects that it finds.

    With --freeze all the weights of the detector stay as they are, and so do its boxes; otherwise boxes and key points
    learn together, best from a pose estimator of the first kind. What is left of an interrupted run goes on with the
    same command.
    """
    name = flags.name or _name_after(flags.data[0], flags.model)

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.pose.architectures import known_pose_estimators
        from models.training.pose_photo_run import train_pose_on_photos
        from models.training.pose_run import train_pose

        if flags.model not in known_pose_estimators():
            raise no_such_model(flags.model, known_pose_estimators())
        if flags.freeze == "all":
            return train_pose(_branch_options(flags, name), report, tell, show_preparation, show_note)
        return train_pose_on_photos(_whole_pose_options(flags, name), report, tell, show_note)

    run_training(train, name, flags.output, "pose IMAGE")


@app.command(epilog="Example: tapetum train signal --data mnist1d --name mnist-1d")
@takes(SignalFlags)
def signal(flags: SignalFlags) -> None:
    """Train a classifier of signals, such as 40 numbers of a sensor.

    What is left of an interrupted run goes on with the same command.
    """
    name = flags.name or _name_after(Path(flags.data.partition(":")[0]), "signal-cnn")

    def train(report: Callable[[Progress], None], _tell: TellProblems) -> Path:
        from models.training.signal_run import SignalOptions, train_signal

        return train_signal(SignalOptions(**{**vars(flags), "name": name}), report)

    run_training(train, name, flags.output, "classify IMAGE")


@app.command(epilog="Example: tapetum train generator --data mnist --name my-digits")
@takes(GeneratorFlags)
def generator(flags: GeneratorFlags) -> None:
    """Train a generator of small images on folders by class: a conditional DCGAN. Experimental.

    What is left of an interrupted run goes on with the same command.
    """
    name = flags.name or _name_after(flags.data, "dcgan")

    def train(report: Callable[[Progress], None], tell: TellProblems) -> Path:
        from models.training.generator_run import GeneratorOptions, train_generator

        return train_generator(GeneratorOptions(**{**vars(flags), "name": name}), report, tell)

    run_training(train, name, flags.output, "generate")


@app.command(epilog="Example: tapetum train style --style stained-glass --data photos --name my-style")
@takes(StyleFlags)
def style(flags: StyleFlags) -> None:
    """Train a fast style network on photos, by a perceptual loss. Experimental.

    What is left of an interrupted run goes on with the same command.
    """

    def train(report: Callable[[Progress], None], _tell: TellProblems) -> Path:
        from models.stylization.perceptual import LossWeights
        from models.training.style_run import StyleOptions, train_style

        weights = LossWeights(flags.content_weight, flags.style_weight, flags.smoothness)
        given = {key: value for key, value in vars(flags).items() if not key.endswith("weight") and key != "smoothness"}
        return train_style(StyleOptions(**given, weights=weights), report)

    run_training(train, flags.name, flags.output, "serve")


def _branch_options(flags: PoseFlags, name: str) -> PoseOptions:
    """Of a run in which only the keypoint branch learns."""
    from models.training.engine import Schedule
    from models.training.pose_recipe import PoseSettings
    from models.training.pose_run import PoseOptions

    if flags.mosaic:
        raise CommandError("--mosaic is for whole photos: name what of the backbone learns by --freeze", 2)
    batch_size, rate = flags.batch_size or _BRANCH_BATCH, flags.learning_rate or _BRANCH_RATE
    return PoseOptions(
        settings=PoseSettings(flags.views, flags.flip, flags.epochs, batch_size=batch_size, seed=flags.seed),
        schedule=Schedule(flags.epochs, rate, evaluate_every=flags.evaluate_every),
        **_shared(flags, name),
    )


def _whole_pose_options(flags: PoseFlags, name: str) -> PhotoOptions:
    """Of a run in which boxes and key points learn together."""
    from models.training.augmentation import Augmentation
    from models.training.engine import Schedule
    from models.training.photo_recipe import PhotoSettings
    from models.training.photo_run import PhotoOptions

    assert flags.freeze != "all"
    closing = round((_CLOSING_SHARE if flags.mosaic else 1.0) * flags.epochs)
    batch_size, rate = flags.batch_size or _POSE_BATCH, flags.learning_rate or _POSE_RATE
    return PhotoOptions(
        freeze=flags.freeze,
        settings=PhotoSettings(closing_epochs=closing, epochs=flags.epochs, batch_size=batch_size, seed=flags.seed),
        schedule=Schedule(flags.epochs, rate, evaluate_every=flags.evaluate_every),
        augmentation=Augmentation(mosaic=flags.mosaic, scale=_POSE_SCALE, flip=0.5 if flags.flip else 0.0),
        **_shared(flags, name),
    )


def _shared(flags: PoseFlags, name: str) -> dict[str, Any]:
    """What both ways to train a pose estimator take alike."""
    names = ("output", "start", "device", "precision", "licence", "allow_outside", "strict")
    return {
        "architecture": flags.model,
        "data": tuple(flags.data),
        "name": name,
        **{each: getattr(flags, each) for each in names},
    }


def _photo_options(
    flags: PhotoFlags, model: str, name: str, augmentation: Augmentation, native: bool = False, **others: Any
) -> PhotoOptions:
    from models.training.engine import Schedule
    from models.training.photo_recipe import PhotoSettings
    from models.training.photo_run import PhotoOptions

    early_side = max(_SIDE_MULTIPLE, round(_EARLY_SHARE * flags.size / _SIDE_MULTIPLE) * _SIDE_MULTIPLE)
    closing_epochs = flags.closing_epochs
    settings = PhotoSettings(
        side=flags.size,
        early_side=flags.early_size or early_side,
        closing_epochs=round(_CLOSING_SHARE * flags.epochs) if closing_epochs is None else closing_epochs,
        epochs=flags.epochs,
        batch_size=flags.batch_size,
        seed=flags.seed,
        native=native,
    )
    return PhotoOptions(
        architecture=model,
        data=tuple(flags.data),
        output=flags.output,
        name=name,
        classes=tuple(part.strip() for part in flags.classes.split(",")) if flags.classes else None,
        start=flags.start,
        freeze=flags.freeze,
        device=flags.device,
        precision=flags.precision,
        settings=settings,
        schedule=Schedule(flags.epochs, flags.learning_rate, evaluate_every=flags.evaluate_every),
        augmentation=augmentation,
        licence=flags.licence,
        allow_outside=flags.allow_outside,
        strict=flags.strict,
        **others,
    )


def _name_after(data: Path, model: str) -> str:
    """`flowers` and `torchvision/resnet18` to `flowers-resnet18`; of a file the folder counts."""
    folder = data.resolve().parent if data.suffix and not data.is_dir() else data.resolve()
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{folder.name}-{model.rpartition('/')[2]}")
    return words.strip("-._") or "model"
