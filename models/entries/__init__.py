"""Catalog entries: what is known of a model before it is loaded, one frozen record for each."""

from models.entries.entry import (
    DETECTION_DEFAULTS,
    INSTANCE_DEFAULTS,
    ONNX,
    POSE_DEFAULTS,
    Accuracy,
    CatalogEntry,
    Kind,
    MaskFormat,
    Quantization,
    Segmentation,
    Speed,
    Task,
    WeightsKind,
    WeightsSource,
    kind_in,
    kind_of,
)
from models.entries.image_preprocessing import Interpolation, LetterboxPreprocessing, Preprocessing

__all__ = [
    "DETECTION_DEFAULTS",
    "INSTANCE_DEFAULTS",
    "ONNX",
    "POSE_DEFAULTS",
    "Accuracy",
    "CatalogEntry",
    "Interpolation",
    "Kind",
    "LetterboxPreprocessing",
    "MaskFormat",
    "Preprocessing",
    "Quantization",
    "Segmentation",
    "Speed",
    "Task",
    "WeightsKind",
    "WeightsSource",
    "kind_in",
    "kind_of",
]
