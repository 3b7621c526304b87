"""`tapetum train segmenter`: from a data set to a model card."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision.models.detection.mask_rcnn import MaskRCNN

from models.adapter import Adapter
from models.datasets.label_problems import TellProblems
from models.datasets.labelled_photos import LabelledPhotos
from models.datasets.photo_dataset import PhotoDataset
from models.datasets.samples import BACKGROUND, EvaluationSet
from models.entries import INSTANCE_DEFAULTS, CatalogEntry, LetterboxPreprocessing
from models.parameters import SegmentationParameters
from models.runtime import Runtime
from models.segmentation.architectures import build_segmenter, segmentation_of, segmenter
from models.sources.card_weights import as_stored
from models.training.answers import answers
from models.training.average_precision import average_precision
from models.training.engine import Progress
from models.training.mask_rcnn_loss import mask_rcnn_loss
from models.training.photo_recipe import PhotoSettings
from models.training.photo_run import PhotoOptions, PhotoTask, new_card, shown_names, train_on_photos
from models.training.segmentation_loss import segmentation_loss
from models.training.semantic_accuracy import semantic_accuracy
from models.training.targets import Target

_LEAST_DETECTIONS: Final = 100
_OVERLAP: Final = 96
_TILE: Final = 1024
_LARGEST_SIDE: Final = 8192


def train_segmenter(
    options: PhotoOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    tell: TellProblems = lambda problems: None,
) -> Path:
    """Trains a segmenter: see `models.training.photo_run.train_on_photos`."""
    return train_on_photos(options, _TASK, report, tell)


def evaluate(network: nn.Module, card: CatalogEntry, dataset: EvaluationSet, runtime: Runtime) -> dict[str, float]:
    """Measures a network through the adapter that serves it.

    Args:
        network: Whose weights to measure; it is not changed.
        card: Its entry; says how it is built and how images are prepared.
        dataset: What to measure on, read for the kind of the segmenter.
        runtime: Where and how, resolved.

    Returns:
        See `evaluate_adapter`.

    Raises:
        DatasetError: See `evaluate_adapter`.
    """
    served = _build(card).eval()
    served.load_state_dict(as_stored(network.state_dict()))
    return evaluate_adapter(segmenter(card, runtime, served, weights_digest=""), dataset)


def evaluate_adapter(adapter: Adapter[Any, Any], dataset: EvaluationSet) -> dict[str, float]:
    """Measures a loaded segmenter.

    Args:
        adapter: The segmenter; its classes are those of the data set.
        dataset: What to measure on, read for the kind of the segmenter.

    Returns:
        Of a semantic segmenter see `models.training.semantic_accuracy`; of the others, for masks,
        `models.training.average_precision`.

    Raises:
        DatasetError: See `models.training.answers.answers`.
    """
    most = dataset.objects.most if isinstance(dataset, LabelledPhotos) else 0
    wanted = SegmentationParameters(score_threshold=0.0, max_detections=max(_LEAST_DETECTIONS, most))
    found = answers(adapter, dataset, wanted)
    if dataset.kind == "semantic":
        return semantic_accuracy(found, len(dataset.class_names))
    return average_precision(found, len(dataset.class_names), masks=True, max_detections=wanted.max_detections)


def _card(options: PhotoOptions, data: PhotoDataset) -> CatalogEntry:
    kind = segmentation_of(options.architecture)
    if kind == "instance":
        if options.settings.native:
            raise ValueError(
                f"{options.architecture} sees whole photos, and none at its own size: native is for U-Nets"
            )
        return new_card(options, data, "segmentation", segmentation=kind, defaults=INSTANCE_DEFAULTS)
    return new_card(
        options,
        data,
        "segmentation",
        segmentation=kind,
        preprocessing=_semantic_preprocessing(options.settings),
        class_names=(BACKGROUND, *data.class_names),
        category_ids=None,
        defaults={},
        description=f"Tells {shown_names(data)} from the background, pixel by pixel.",
    )


def _semantic_preprocessing(settings: PhotoSettings) -> LetterboxPreprocessing:
    side = _LARGEST_SIDE if settings.native else settings.side
    return LetterboxPreprocessing(
        side, side, settings.mean, settings.std, enlarge=not settings.native, tile=_TILE, overlap=_OVERLAP
    )


def _build(card: CatalogEntry) -> nn.Module:
    return build_segmenter(card.architecture, card.class_count, card.arguments)


def _objective(network: nn.Module, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """The loss that belongs to a network."""
    if isinstance(network, MaskRCNN):
        return mask_rcnn_loss(network, images, targets)
    return segmentation_loss(network(images), torch.stack([target.class_map for target in targets]).long())


_TASK: Final = PhotoTask(_card, _build, _objective, evaluate, lambda options: segmentation_of(options.architecture))
