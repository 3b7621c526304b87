"""The kinds of predictions: for each its request parameters, prediction type, preprocessing and defaults.

A new kind is one more record in `KINDS`; nothing else in this package lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from models.entries import (
    DETECTION_DEFAULTS,
    INSTANCE_DEFAULTS,
    POSE_DEFAULTS,
    Kind,
    LetterboxPreprocessing,
    Preprocessing,
    Segmentation,
    Task,
    kind_of,
)
from models.entries.latent_preprocessing import LatentPreprocessing
from models.parameters import (
    ClassificationParameters,
    DetectionParameters,
    GenerationParameters,
    MultitaskParameters,
    PoseParameters,
    SegmentationParameters,
    StyleParameters,
)
from models.predictions import Classification, Detections, InstanceMasks, Multitask, Picture, Poses, SemanticMask


@dataclass(frozen=True)
class PredictionKind:
    """Everything that the models know about one kind.

    Attributes:
        name: Name of the kind.
        task: Task that it belongs to: models of one task share parameters, preprocessing and endpoint.
        parameters: Frozen dataclass of a request's parameters, see `models.parameters`.
        prediction: Frozen dataclass of the prediction for one image, see `models.predictions`.
        preprocessing: `Preprocessing` or `LetterboxPreprocessing`; `LatentPreprocessing` where there is no image.
        defaults: Parameters of models whose catalog entry sets none.
        ignored: Names of parameters that are accepted and have no effect.
        has_background: Whether class 0 is the background, which cannot be requested.
        is_experimental: Whether it may change, and is served only where the configuration names a model of it; its
            other modules are imported only then, see `models.lazy_records`.
    """

    name: Kind
    task: Task
    parameters: type[Any]
    prediction: type[Any]
    preprocessing: type[Preprocessing] | type[LetterboxPreprocessing] | type[LatentPreprocessing]
    defaults: Mapping[str, int | float]
    ignored: frozenset[str] = frozenset()
    has_background: bool = False
    is_experimental: bool = False

    @property
    def has_augmentation(self) -> bool:
        """Whether requests may ask for test-time augmentation, see `models.augmentation`."""
        return any(parameter.name == "augment" for parameter in fields(self.parameters))


KINDS: Final[dict[Kind, PredictionKind]] = {
    kind.name: kind
    for kind in (
        PredictionKind(
            name="classification",
            task="classification",
            parameters=ClassificationParameters,
            prediction=Classification,
            preprocessing=Preprocessing,
            defaults={"top_k": 5},
        ),
        PredictionKind(
            name="detection",
            task="detection",
            parameters=DetectionParameters,
            prediction=Detections,
            preprocessing=LetterboxPreprocessing,
            defaults=DETECTION_DEFAULTS,
        ),
        PredictionKind(
            name="keypoints",
            task="keypoints",
            parameters=PoseParameters,
            prediction=Poses,
            preprocessing=LetterboxPreprocessing,
            defaults=POSE_DEFAULTS,
        ),
        PredictionKind(
            name="instance",
            task="segmentation",
            parameters=SegmentationParameters,
            prediction=InstanceMasks,
            preprocessing=LetterboxPreprocessing,
            defaults=INSTANCE_DEFAULTS,
            ignored=frozenset({"probabilities"}),
        ),
        PredictionKind(
            name="semantic",
            task="segmentation",
            parameters=SegmentationParameters,
            prediction=SemanticMask,
            preprocessing=LetterboxPreprocessing,
            defaults={},
            ignored=frozenset({"score_threshold", "max_detections"}),
            has_background=True,
        ),
        PredictionKind(
            name="multitask",
            task="multitask",
            parameters=MultitaskParameters,
            prediction=Multitask,
            preprocessing=LetterboxPreprocessing,
            defaults={},
        ),
        PredictionKind(
            name="stylization",
            task="stylization",
            parameters=StyleParameters,
            prediction=Picture,
            preprocessing=LetterboxPreprocessing,
            defaults={"strength": 1.0},
            is_experimental=True,
        ),
        PredictionKind(
            name="generation",
            task="generation",
            parameters=GenerationParameters,
            prediction=Picture,
            preprocessing=LatentPreprocessing,
            defaults={"truncation": 1.0},
            is_experimental=True,
        ),
    )
}
"""The record of every kind."""


def task_names() -> tuple[Task, ...]:
    """Lists the tasks, each once."""
    return tuple(dict.fromkeys(kind.task for kind in KINDS.values()))


def usual_kinds() -> tuple[Kind, ...]:
    """Lists the kinds that are not experimental."""
    return tuple(name for name, kind in KINDS.items() if not kind.is_experimental)


def experimental_mark(kind: Kind) -> dict[str, bool]:
    """Returns the member by which the description of a model of an experimental kind says so."""
    return {"experimental": True} if KINDS[kind].is_experimental else {}


def find_kind(task: Task, segmentation: Segmentation | None = None) -> PredictionKind:
    """Looks up the record of a kind.

    Args:
        task: A task.
        segmentation: Of a segmenter, what its masks are of; None for other tasks.

    Raises:
        ValueError: There is no such task, or the two do not agree; the message names the member.
    """
    if task not in task_names():
        raise ValueError(f"task must be one of {', '.join(task_names())}, not {task!r}")
    kind = KINDS.get(kind_of(task, segmentation))
    if kind is None or kind.task != task:
        raise ValueError(f"segmentation is {segmentation} for the task {task}")
    return kind
