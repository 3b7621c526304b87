"""`tapetum train detector`: from a data set to a model card."""

# pyright: reportMissingTypeStubs=false

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FasterRCNN

from models.adapter import Adapter
from models.datasets.label_problems import TellProblems
from models.datasets.photo_dataset import PhotoDataset
from models.datasets.samples import EvaluationSet
from models.detection.architectures import build_detector, candidate_network
from models.detection.detector import Detector
from models.detection.yolov1 import YoloV1
from models.entries import DETECTION_DEFAULTS, CatalogEntry, LetterboxPreprocessing
from models.parameters import DetectionParameters
from models.runtime import Runtime
from models.sources.card_weights import as_stored
from models.training.answers import answers
from models.training.average_precision import average_precision
from models.training.engine import Progress
from models.training.faster_rcnn_loss import faster_rcnn_loss
from models.training.photo_run import PhotoOptions, PhotoTask, new_card, train_on_photos
from models.training.targets import Target
from models.training.yolov1_loss import yolov1_loss
from models.training.yolox_loss import yolox_loss

_EVALUATED: Final = DetectionParameters(
    score_threshold=0.001, iou_threshold=float(DETECTION_DEFAULTS["iou_threshold"]), max_detections=100
)
"""COCO counts the hundred best of all scores; boxes suppress each other as they do where the model is served."""


def train_detector(
    options: PhotoOptions,
    report: Callable[[Progress], None] = lambda progress: None,
    tell: TellProblems = lambda problems: None,
) -> Path:
    """Trains a detector: see `models.training.photo_run.train_on_photos`."""
    return train_on_photos(options, _TASK, report, tell)


def _objective(network: nn.Module, images: Tensor, targets: Sequence[Target]) -> dict[str, Tensor]:
    """The loss that belongs to a network."""
    if isinstance(network, FasterRCNN):
        return faster_rcnn_loss(network, images, targets)
    if isinstance(network, YoloV1):
        return yolov1_loss(network(images), targets, network.boxes_per_cell)
    return yolox_loss(network(images), targets)


def evaluate(network: nn.Module, card: CatalogEntry, dataset: EvaluationSet, runtime: Runtime) -> dict[str, float]:
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
    candidates = candidate_network(served, card.preprocessing, runtime, card.arguments)
    return evaluate_adapter(Detector(card, dataset.class_names, runtime, candidates, weights_digest=""), dataset)


def evaluate_adapter(adapter: Adapter[Any, Any], dataset: EvaluationSet) -> dict[str, float]:
    """Measures a loaded detector, as COCO does.

    Args:
        adapter: The detector; its classes are those of the data set.
        dataset: What to measure on.

    Returns:
        See `models.training.average_precision.average_precision`.

    Raises:
        DatasetError: See `models.training.answers.answers`.
    """
    return average_precision(answers(adapter, dataset, _EVALUATED), len(dataset.class_names))


def _card(options: PhotoOptions, data: PhotoDataset) -> CatalogEntry:
    return new_card(options, data, "detection", defaults=DETECTION_DEFAULTS)


def _build(card: CatalogEntry) -> nn.Module:
    return build_detector(card.architecture, card.class_count, card.arguments)


_TASK: Final = PhotoTask(_card, _build, _objective, evaluate, lambda options: "detection")
