"""What figures, columns, errors and settings are called in a report, and what they mean in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Wording(NamedTuple):
    """How something is named to a person.

    Attributes:
        label: A few words.
        meaning: One sentence; may be empty.
    """

    label: str
    meaning: str = ""


MAIN: Final[Mapping[str, str]] = {
    "classification": "top1",
    "detection": "map",
    "instance": "map",
    "semantic": "miou",
}
"""The figure that a kind of model is known by."""

MAIN_COLUMN: Final[Mapping[str, str]] = {
    "classification": "f1",
    "detection": "map",
    "instance": "map",
    "semantic": "iou",
}
"""The column by which classes are compared."""

LEADING: Final[Mapping[str, tuple[str, ...]]] = {
    "classification": ("top5", "f1_macro", "average_precision", "ece"),
    "detection": ("map_50", "map_75", "precision", "recall"),
    "instance": ("map_50", "map_75", "precision", "recall"),
    "semantic": ("iou", "dice", "pixel_accuracy", "boundary_iou"),
}
"""The figures that stand beside the main one; all others follow in small."""

FIGURES: Final[Mapping[str, Wording]] = {
    "top1": Wording("Top-1 accuracy", "Share of images whose most probable class is the right one."),
    "top5": Wording("Top-5 accuracy", "Share of images with the right class among the five most probable."),
    "precision_macro": Wording("Precision, macro", "Mean over classes."),
    "recall_macro": Wording("Recall, macro", "Mean over classes."),
    "f1_macro": Wording("F1, macro", "Mean over classes of the harmonic mean of precision and recall."),
    "precision_weighted": Wording("Precision, weighted", "Mean over classes, each by its number of images."),
    "recall_weighted": Wording("Recall, weighted", "Mean over classes, each by its number of images."),
    "f1_weighted": Wording("F1, weighted", "Mean over classes, each by its number of images."),
    "average_precision": Wording("Average precision", "Mean over classes of the area under precision against recall."),
    "roc_auc": Wording("ROC AUC", "Mean over classes, each against the rest; 0.5 is chance."),
    "ece": Wording("Calibration error", "Expected distance of confidence from accuracy; lower is better."),
    "map": Wording("mAP 0.50:0.95", "Average precision, mean over classes and ten IoU thresholds."),
    "map_50": Wording("mAP at IoU 0.50", "Average precision where half an overlap is enough."),
    "map_75": Wording("mAP at IoU 0.75", "Average precision where outlines must fit closely."),
    "map_small": Wording("mAP, small", "Objects below 32² pixels."),
    "map_medium": Wording("mAP, medium", "Objects of 32² to 96² pixels."),
    "map_large": Wording("mAP, large", "Objects above 96² pixels."),
    "mar_1": Wording("Recall, 1 an image", "Average recall with at most one prediction an image."),
    "mar_10": Wording("Recall, 10 an image", "Average recall with at most 10 predictions an image."),
    "mar_100": Wording("Recall, 100 an image", "Average recall with at most 100 predictions an image."),
    "mar_small": Wording("Recall, small", "Average recall of objects below 32² pixels."),
    "mar_medium": Wording("Recall, medium", "Average recall of objects of 32² to 96² pixels."),
    "mar_large": Wording("Recall, large", "Average recall of objects above 96² pixels."),
    "box_map": Wording("Box mAP 0.50:0.95", "As mAP, by the boxes around the masks."),
    "box_map_50": Wording("Box mAP at IoU 0.50", "By the boxes around the masks."),
    "box_map_75": Wording("Box mAP at IoU 0.75", "By the boxes around the masks."),
    "precision": Wording("Precision", "Share of what is found that is right, at IoU 0.5 and the best F1."),
    "recall": Wording("Recall", "Share of what is there that is found, at IoU 0.5 and the best F1."),
    "f1": Wording("F1", "Harmonic mean of precision and recall, at IoU 0.5 and the best threshold."),
    "miou": Wording("Mean IoU", "Mean over classes, with the background."),
    "iou": Wording("IoU of classes", "Mean over classes, without the background."),
    "dice": Wording("Dice", "Mean over classes of twice the overlap by the sum of both areas."),
    "pixel_accuracy": Wording("Pixel accuracy", "Share of pixels of the right class."),
    "fwiou": Wording("IoU, by frequency", "Mean IoU, each class by its number of pixels."),
    "boundary_iou": Wording("Boundary IoU", "IoU of the pixels near outlines only."),
}

COLUMNS: Final[Mapping[str, str]] = {
    "average_precision": "AP",
    "roc_auc": "ROC AUC",
    "map": "AP",
    "map_50": "AP 0.50",
    "map_75": "AP 0.75",
    "mar_100": "Recall 100",
    "best_score": "At score",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "iou": "IoU",
    "dice": "Dice",
    "boundary_iou": "Boundary IoU",
}
"""Heads of the table of classes."""

NO_SHARE: Final = frozenset({"best_score"})
"""Columns whose numbers are settings and no quality: they have no bar."""

ERRORS: Final[Mapping[str, Wording]] = {
    "localisation": Wording("Localisation", "The right class, but the outline overlaps too little."),
    "classification": Wording("Class", "The right place, but the wrong class."),
    "both": Wording("Class and place", "The wrong class, and the outline overlaps too little."),
    "duplicate": Wording("Duplicate", "Found before, with a higher score."),
    "background": Wording("Background", "Nothing is there."),
    "missed": Wording("Missed", "Nothing was found where something is."),
}

KINDS: Final[Mapping[str, str]] = {
    "classification": "Classification",
    "detection": "Detection",
    "instance": "Instance segmentation",
    "semantic": "Semantic segmentation",
}

PROTOCOL: Final[Mapping[str, str]] = {
    "score_threshold": "score threshold",
    "iou_threshold": "NMS IoU",
    "max_detections": "max detections",
    "iou_type": "IoU of",
}
"""Settings that stand beside the figures; all others are listed at the end of the page."""

OUTLINES: Final[Mapping[str, str]] = {"bbox": "boxes", "segm": "masks"}
"""What COCO calls that of which overlaps are measured."""

THROUGH: Final[Mapping[str, str]] = {
    "adapter": "the model's adapter",
    "gateway": "the running gateway",
}

GROUPS: Final[Mapping[str, Wording]] = {
    "best": Wording("Best", "The images that were answered best."),
    "worst": Wording("Worst", "The images that were answered worst."),
    "confidently_wrong": Wording("Confidently wrong", "The mistakes that the model was most certain of."),
}


def figure(name: str) -> Wording:
    """How a figure is named; its own name in words where nobody wrote another."""
    return FIGURES.get(name) or Wording(in_words(name))


def column(name: str) -> str:
    """How a column of the table of classes is headed."""
    return COLUMNS.get(name) or in_words(name)


def in_words(name: str) -> str:
    """Turns a name of the code, such as `missing_file`, into words: `Missing file`."""
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
