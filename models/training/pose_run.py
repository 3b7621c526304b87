"""`tapetum train pose`: teaches a detector key points, from a data set to a model card."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torchvision.models.detection.keypoint_rcnn import KeypointRCNN

from models.datasets.label_problems import TellProblems
from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.photo_dataset import PhotoDataset
from models.entries import Accuracy, CatalogEntry, LetterboxPreprocessing
from models.pose.architectures import build_pose_estimator, pose_estimator
from models.pose.heat_maps import points_in
from models.runtime import Runtime
from models.training.engine import Progress, Run, Schedule
from models.training.machine import training_precision
from models.training.naming import check_name
from models.training.photo_data import HeldOut, PhotoData, read_photo_data
from models.training.pose_accuracy import pose_accuracy
from models.training.pose_card import NO_SIDES, check_labelled, pose_card
from models.training.pose_recipe import PoseRecipe, PoseSettings
from models.training.pose_regions import PooledRegions, RegionMaker
from models.training.run_options import PhotoDataOptions
from models.training.trained_card import measured, write_trained_card
from models.training.transfer import start_network

_EVALUATED: Final = 256
"""Regions a pass of the evaluation."""


@dataclass(frozen=True, kw_only=True)
class PoseOptions(PhotoDataOptions):
    """What to train, from what, and where to.

    Attributes:
        start: A detector or instance segmenter of the catalog, whose weights fit all but the keypoint branch; they do
            not change, so that the boxes are the same.
        settings: Views, epochs, batch and seed.
        schedule: Learning rates; its epochs are the settings'.
    """

    start: str = "mask-rcnn-person"
    settings: PoseSettings = field(default_factory=PoseSettings)
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=5, learning_rate=1.5e-3))


def train_pose(
    options: PoseOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    tell: TellProblems = lambda problems: None,
    prepared: Callable[[int, int], None] = lambda done, photos: None,
    note: Callable[[str], None] = lambda sentence: None,
) -> Path:
    """Trains the keypoint branch, or goes on where the same call was stopped.

    Args:
        options: What and how.
        report: Called with the progress every few steps.
        tell: Called with the labels that are wrong, before training.
        prepared: Called with the number of photos whose regions were pooled, and of all.
        note: Called with a sentence on what is done otherwise than the options say.

    Returns:
        Path of the model card.

    Raises:
        DatasetError: The data cannot be used, or has no key points.
        WrongLabels: `options.strict`, and there are some.
        ValueError: The options do not fit each other, or a run of other options lies in the folder.
        ModelsError: The model to start from cannot be had.
        TrainingDiverged: The loss became infinite or not a number.
    """
    check_name(options.name, options.output)
    data = read_photo_data(options.data, "keypoints", allow_outside=options.allow_outside)
    options.report_problems(data.problems, tell)
    check_labelled(data.training)
    training = data.training
    assert training.skeleton is not None
    if options.settings.flip and not training.skeleton.has_sides:
        note(NO_SIDES)
        options = replace(options, settings=replace(options.settings, flip=False))
    torch.manual_seed(options.settings.seed)
    card = pose_card(options, training)
    network = build_pose_estimator(card.architecture, card.class_count, card.arguments)
    start_network(network, options.start)
    folder = options.run_folder
    folder.mkdir(parents=True, exist_ok=True)
    learned, held_out = _regions(options, card, network.eval(), data, folder, prepared)
    runtime = Runtime(device=options.device, precision="auto").resolve()
    precision = training_precision(options.precision, runtime)
    sigmas = np.array(training.skeleton.sigmas, np.float32)
    recipe = PoseRecipe(
        _branch(network).to(options.device),
        learned,
        lambda branch: region_figures(branch, held_out, sigmas) if held_out is not None else {},
        options.settings,
    )
    schedule = replace(options.schedule, epochs=options.settings.epochs)
    size, settings = options.settings.batch_size, _settings(options, training, learned)
    run = Run(recipe, schedule, folder, size, precision, settings, report)
    run.resume()
    run.train()
    _branch(network).load_state_dict(run.average.state_dict())
    accuracy = _accuracy(card, network, runtime, data.held_out)
    facts = {"precision": precision, "held_out": {name: round(value, 4) for name, value in run.figures.items()}}
    return write_trained_card(card, network, options, run, settings, accuracy, **facts)


@torch.inference_mode()
def region_figures(branch: nn.Module, regions: PooledRegions, sigmas: np.ndarray) -> dict[str, float]:
    """Measures a branch on the regions of annotated boxes: the figure to watch during training.

    Args:
        branch: In any mode.
        regions: Of held-out photos.
        sigmas: (K,) of the skeleton.

    Returns:
        `oks`, the mean object keypoint similarity of the people; and `oks_50`, the share with at least 0.5.
    """
    device = next(branch.parameters()).device
    was_training = branch.training
    branch.eval()
    found: list[np.ndarray] = []
    for start in range(0, len(regions), _EVALUATED):
        features, points = regions.batch(np.arange(start, min(start + _EVALUATED, len(regions))))
        logits = branch(features.to(device).float()).float().cpu()
        side = float(logits.shape[-1])
        cells, _ = points_in(logits, torch.tensor([[0.0, 0.0, side, side]]).repeat(len(logits), 1))
        distances = ((cells - points[..., :2]) ** 2).sum(-1).numpy()
        seen = points[..., 2].numpy() > 0
        areas = regions.areas[start : start + len(features), None]
        similar = np.exp(-distances / (2 * (2 * sigmas) ** 2 * areas)) * seen
        found.append(similar.sum(1) / seen.sum(1))
    branch.train(was_training)
    all_found = np.concatenate(found)
    return {"oks": float(all_found.mean()), "oks_50": float((all_found >= 0.5).mean())}


def _regions(
    options: PoseOptions,
    card: CatalogEntry,
    network: KeypointRCNN,
    data: PhotoData,
    folder: Path,
    prepared: Callable[[int, int], None],
) -> tuple[PooledRegions, PooledRegions | None]:
    assert isinstance(card.preprocessing, LetterboxPreprocessing) and data.training.skeleton is not None
    runtime = Runtime(device=options.device).resolve()
    maker = RegionMaker(
        network, card.preprocessing, runtime, data.training.skeleton, options.settings.seed, options.settings.flip
    )
    learned = maker.make(data.training, options.settings.views, folder, "train", prepared)
    if data.held_out is None:
        return learned, None
    photos = tuple(data.held_out.photo(index) for index in range(len(data.held_out)))
    held_out = PhotoDataset(data.held_out.name, photos, data.training.class_names, (), data.training.skeleton)
    return learned, maker.make(held_out, 0, folder, "val", prepared)


def _branch(network: KeypointRCNN) -> nn.Sequential:
    """The part that learns; its parameters are those of the network."""
    heads: Any = network.roi_heads
    return nn.Sequential(heads.keypoint_head, heads.keypoint_predictor)


def _accuracy(
    card: CatalogEntry, network: KeypointRCNN, runtime: Runtime, held_out: HeldOut | None
) -> tuple[Accuracy, ...]:
    if not isinstance(held_out, LabelledPhotos):
        return ()
    figures = pose_accuracy(pose_estimator(card, runtime, network.eval(), weights_digest=""), held_out)
    note = "measured at the end of training, through the adapter that serves it"
    name = f"{held_out.name} ({len(held_out)} photos)"
    return measured({metric: value for metric, value in figures.items() if value >= 0}, name, note)


def _settings(options: PoseOptions, training: PhotoDataset, learned: PooledRegions) -> dict[str, Any]:
    """What a run was started with, ready for JSON: names of data, no paths of this machine."""
    return {
        "architecture": options.architecture,
        "data": training.name,
        "files": training.fingerprint,
        "photos": len(training.photos),
        "regions": len(learned),
        "start": options.start,
        "frozen": "everything but the keypoint branch",
        **asdict(options.settings),
        "augmentation": {"flip": 0.5 if options.settings.flip else 0.0},
        "learning_rate": options.schedule.learning_rate,
    }
