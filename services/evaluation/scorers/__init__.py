"""One scorer for each kind of answers."""

from __future__ import annotations

from models.datasets.samples import Kind
from services.evaluation.scoring import Metric


def scorer_for(kind: Kind, class_names: tuple[str, ...], measured: tuple[int, ...], max_detections: int) -> Metric:
    """The scorer of a kind.

    Args:
        kind: What is measured.
        class_names: The model's.
        measured: Its class ids that the data set has, too.
        max_detections: The best objects of an image that count; it says nothing to other kinds.
    """
    if kind == "classification":
        from services.evaluation.scorers.classification import ClassificationScorer

        return ClassificationScorer(class_names, measured)
    if kind == "semantic":
        from services.evaluation.scorers.semantic import SemanticScorer

        return SemanticScorer(class_names, measured)
    from services.evaluation.scorers.objects import ObjectScorer

    return ObjectScorer(class_names, measured, masks=kind == "instance", max_detections=max_detections)
