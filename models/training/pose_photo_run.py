"""`tapetum train pose --freeze …`: boxes and key points learn together, on whole photos."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, cast

from torch import Tensor, nn
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN

from models.datasets.label_problems import TellProblems
from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.photo_dataset import PhotoDataset
from models.datasets.samples import EvaluationSet
from models.entries import CatalogEntry
from models.pose.architectures import build_pose_estimator, pose_estimator
from models.runtime import Runtime
from models.sources.card_weights import as_stored
from models.training.engine import Progress
from models.training.keypoint_rcnn_loss import keypoint_rcnn_loss
from models.training.photo_run import PhotoOptions, PhotoTask, train_on_photos
from models.training.pose_accuracy import pose_accuracy
from models.training.pose_card import NO_SIDES, check_labelled, pose_card, start_preprocessing
from models.training.targets import Target


def train_pose_on_photos(
    options: PhotoOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    tell: TellProblems = lambda problems: None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Path:
    """Trains trunk, pyramid, boxes and key points together: see `models.training.photo_run.train_on_photos`.

    Args:
        options: What and how; the side of the photos is that of the model to start from.
        report: See `train_on_photos`.
        tell: Likewise.
        note: Called with a sentence on what is done otherwise than the options say.
    """
    side = start_preprocessing(options.start).long_side
    settings = replace(options.settings, side=side, early_side=min(side, options.settings.early_side))
    task = replace(_TASK, fit=partial(_fit, note))
    return train_on_photos(replace(options, settings=settings), task, report, tell)


def evaluate(network: nn.Module, card: CatalogEntry, dataset: EvaluationSet, runtime: Runtime) -> dict[str, float]:
    """Measures a network through the adapter that serves it.

    Args:
        network: Whose weights to measure; it is not changed.
        card: Its entry; says how it is built and how images are prepared.
        dataset: What to measure on, read for `keypoints`.
        runtime: Where and how, resolved.

    Returns:
        See `models.training.pose_accuracy.pose_accuracy`.
    """
    assert isinstance(dataset, LabelledPhotos)
    served = _build(card).eval()
    served.load_state_dict(as_stored(network.state_dict()))
    return pose_accuracy(pose_estimator(card, runtime, served, weights_digest=""), dataset)


def _fit(note: Callable[[str], None], options: PhotoOptions, data: PhotoDataset) -> PhotoOptions:
    """Without mirror images where nobody knows which key points change places."""
    check_labelled(data)
    if not options.augmentation.flip or (data.skeleton is not None and data.skeleton.has_sides):
        return options
    note(NO_SIDES)
    return replace(options, augmentation=replace(options.augmentation, flip=0.0))


def _build(card: CatalogEntry) -> nn.Module:
    return build_pose_estimator(card.architecture, card.class_count, card.arguments)


def _objective(network: nn.Module, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    return keypoint_rcnn_loss(cast(KeypointRCNN, network), images, targets)


_TASK: Final = PhotoTask(pose_card, _build, _objective, evaluate, lambda options: "keypoints")
