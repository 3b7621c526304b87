"""Labels and meanings of the figures, columns, errors and settings of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.evaluation.kinds.kind_evaluation import KindEvaluation, Wording

NO_SHARE: Final = frozenset({"best_score"})
"""Columns of settings instead of metrics: they have no bar."""

ERRORS: Final[Mapping[str, Wording]] = {
    "localisation": Wording("Localisation", "The right class, but the outline overlaps too little."),
    "classification": Wording("Class", "The right place, but the wrong class."),
    "both": Wording("Class and place", "The wrong class, and the outline overlaps too little."),
    "duplicate": Wording("Duplicate", "Found before, with a higher score."),
    "background": Wording("Background", "Nothing is there."),
    "missed": Wording("Missed", "Nothing was found where something is."),
}

PROTOCOL: Final[Mapping[str, str]] = {
    "score_threshold": "score threshold",
    "iou_threshold": "NMS IoU",
    "max_detections": "max detections",
    "iou_type": "IoU of",
}
"""Settings that stand beside the figures; all others are listed at the end of the page."""

OUTLINES: Final[Mapping[str, str]] = {"bbox": "boxes", "segm": "masks", "keypoints": "key points (OKS)"}
"""Names of COCO's IoU types."""

THROUGH: Final[Mapping[str, str]] = {
    "adapter": "the model's adapter",
    "gateway": "the running gateway",
}

GROUPS: Final[Mapping[str, Wording]] = {
    "best": Wording("Best", "The images that were answered best."),
    "worst": Wording("Worst", "The images that were answered worst."),
    "confidently_wrong": Wording("Confidently wrong", "The mistakes that the model was most certain of."),
}


def figure(kind: KindEvaluation, name: str) -> Wording:
    """Returns label and meaning of a headline figure; its own name in words where the kind has none."""
    return kind.figures.get(name) or Wording(in_words(name))


def column(kind: KindEvaluation, name: str) -> str:
    """Returns the head of a column of the class table; its own name in words where the kind has none."""
    return kind.columns.get(name) or in_words(name)


def in_words(name: str) -> str:
    """Turns a name of the code, such as `missing_file`, into words: `Missing file`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
