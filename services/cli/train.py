"""`tapetum train`: from a folder of images to a model that `tapetum serve` serves."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from services.cli.console import CommandError, no_such_model
from services.cli.option_groups import takes
from services.cli.photo_run_options import branch_options, mask_augmentation, photo_options, whole_pose_options
from services.cli.train_options import (
    ClassifierFlags,
    DetectorFlags,
    GeneratorFlags,
    MultitaskFlags,
    PoseFlags,
    SegmenterFlags,
    SignalFlags,
    StyleFlags,
)
from services.cli.training_session import run_training, show_note, show_preparation

if TYPE_CHECKING:
    from models.datasets.label_problems import TellProblems
    from models.training.engine import Progress

app = typer.Typer(no_args_is_help=True, help="Train and fine-tune models on your own images.")


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

        _check_known(flags.model, known_classifiers())
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

        _check_known(flags.model, known_detectors())
        augmentation = Augmentation() if flags.flip else Augmentation(flip=0.0)
        return train_detector(photo_options(flags, name, augmentation), report, tell)

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
        from models.training.segmenter_run import train_segmenter

        _check_known(flags.model, known_segmenters())
        arguments = {"anchor_scale": flags.anchor_scale, "max_regions": flags.max_regions}
        arguments = {key: value for key, value in arguments.items() if value is not None}
        if segmentation_of(flags.model) == "instance" and flags.native:
            raise CommandError("--native is for a U-Net: a Mask R-CNN is served with the whole photo, not in tiles", 2)
        if segmentation_of(flags.model) == "semantic" and arguments:
            raise CommandError("--anchor-scale and --max-regions are for a Mask R-CNN: a U-Net looks for no objects", 2)
        augmentation = mask_augmentation(flags)
        options = photo_options(
            flags,
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
        from models.training.multitask_run import train_multitask

        _check_known(flags.model, known_multitask())
        others = {"masked_only": flags.masked_only, "teacher": flags.teacher}
        options = photo_options(flags, name, mask_augmentation(flags), **others)
        return train_multitask(options, report, tell, flags.heads_only)

    run_training(train, name, flags.output, "analyze IMAGE")


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

        _check_known(flags.model, known_pose_estimators())
        if flags.freeze == "all":
            return train_pose(branch_options(flags, name), report, tell, show_preparation, show_note)
        return train_pose_on_photos(whole_pose_options(flags, name), report, tell, show_note)

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


def _check_known(model: str, known: Sequence[str]) -> None:
    if model not in known:
        raise no_such_model(model, known)


def _name_after(data: Path, model: str) -> str:
    """`flowers` and `torchvision/resnet18` to `flowers-resnet18`; of a file the folder counts."""
    folder = data.resolve().parent if data.suffix and not data.is_dir() else data.resolve()
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", f"{folder.name}-{model.rpartition('/')[2]}")
    return words.strip("-._") or "model"
