"""The metric of pose estimators: average precision by OKS, F1 at OKS 0.5, and average precision of the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.key_points import order_in
from models.datasets.samples import ObjectTarget
from models.entries.skeletons import Skeleton
from models.metrics.coco.average_precision import AREAS, detection_limits
from models.metrics.coco.bootstrap import affordable_replicates, resampled_figures, weighted_figures
from models.metrics.coco.image_results import ImageResult
from models.metrics.coco.key_points import HEADLINES, oks_figures
from models.metrics.coco.matches import Matches
from models.metrics.coco.matching import match_images
from models.metrics.coco.ranking import rank_classes
from models.metrics.coco.thresholds import Verdicts
from services.evaluation.kinds.object_figures import (
    best_figures,
    bounded,
    class_row,
    coco_protocol,
    joined_matches,
    predictions_of,
    ranking_by_f1,
    record_columns,
    threshold_details,
)
from services.evaluation.scoring import Figure, Measured, MetricState, Record, bootstrap_protocol

_OKS, _BOXES = "oks_", "box_"
_BOX_FIGURES: Final = ("map", "map_50", "map_75")
_CLASS_FIGURES: Final = ("oks_ap", "oks_ap_50", "oks_ap_75", "oks_ar")
_OKS_AREAS: Final = tuple(name for name in AREAS if name != "small")


class PoseMetric:
    """The metric of pose estimators.

    Args:
        class_names: The model's.
        measured: Its class ids that the data set has, too; predictions of others are dropped.
        seed: Of the bootstrap.
        max_detections: The most predictions of an image and a class that are evaluated, at least 1.
        replicates: Of the bootstrap; fewer where there are very many objects.

    Raises:
        ValueError: `max_detections` is below 1.
    """

    def __init__(
        self,
        class_names: tuple[str, ...],
        measured: tuple[int, ...],
        seed: int = 0,
        *,
        max_detections: int = 20,
        replicates: int = 1000,
    ) -> None:
        self._class_names = class_names
        self._measured = measured
        self._seed = seed
        self._limits = detection_limits(max_detections)
        self._replicates = replicates

    def update(self, records: Sequence[Record]) -> MetricState:
        """Matches the predictions of one chunk to its ground truth; see `Metric.update`.

        Raises:
            DatasetError: The data set has other key points than the model.
        """
        results = [result_of(record).of_classes(self._measured) for record in records]
        columns = record_columns(records)
        sigmas = _skeleton(records[0]).sigmas if records else (1.0,)
        most = self._limits[-1]
        columns |= match_images(results, False, most, sigmas).to_columns(_OKS)
        return columns | match_images(results, False, most).to_columns(_BOXES)

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        """Computes the figures from the states of all chunks; see `Metric.compute`."""
        chunks = chunks or [self.update([])]
        matches, boxes = (joined_matches(chunks, prefix) for prefix in (_OKS, _BOXES))
        verdicts = Verdicts.of(matches)
        replicates = affordable_replicates(len(matches.scores), self._replicates)
        protocol = coco_protocol("keypoints", self._limits[-1], _OKS_AREAS)
        return Measured(
            headline=self._headline(matches, boxes, verdicts, replicates),
            per_class=[self._class_row(class_id, matches, verdicts) for class_id in self._measured],
            details=threshold_details(matches, verdicts, self._measured),
            ranking=ranking_by_f1(chunks, matches, verdicts),
            protocol=protocol | bootstrap_protocol(replicates, self._seed),
        )

    def _headline(self, matches: Matches, boxes: Matches, verdicts: Verdicts, replicates: int) -> dict[str, Figure]:
        drawn = self._resampled(matches, replicates)
        of_oks = {name: drawn[of_boxes] for name, of_boxes in HEADLINES.items() if of_boxes in drawn}
        headline = bounded(oks_figures(matches, self._measured, self._limits[-1]), of_oks)
        headline |= best_figures(verdicts, len(matches.image_ids), replicates, self._seed)
        weights = np.ones((len(boxes.image_ids), 1))
        values = weighted_figures(list(rank_classes(boxes, self._measured)), weights, self._limits, areas=1)
        figures = bounded(
            {name: float(values[name][0]) for name in _BOX_FIGURES}, self._resampled(boxes, replicates, areas=1)
        )
        return headline | {_BOXES + name: figure for name, figure in figures.items()}

    def _resampled(self, matches: Matches, replicates: int, areas: int = len(AREAS)) -> dict[str, NDArray[np.float64]]:
        return resampled_figures(matches, self._measured, self._limits, replicates, self._seed, areas)

    def _class_row(self, class_id: int, matches: Matches, verdicts: Verdicts) -> dict[str, Any]:
        figures = oks_figures(matches, [class_id], self._limits[-1])
        of_class = {name: figures[name] for name in _CLASS_FIGURES}
        return class_row(class_id, self._class_names[class_id], verdicts, of_class)


def result_of(record: Record) -> ImageResult:
    """Converts a record to the input of COCO's metrics, its key points in the order of the data set's skeleton.

    Raises:
        DatasetError: The model lacks key points of the data set.
    """
    known = record.target
    assert isinstance(known, ObjectTarget)
    rows: Sequence[Mapping[str, Any]] = record.answer["predictions"]
    order = order_in([point["name"] for point in rows[0]["keypoints"]], _skeleton(record)) if rows else []
    places = [[(row["keypoints"][place]["x"], row["keypoints"][place]["y"]) for place in order] for row in rows]
    key_points = np.array(places, np.float64).reshape(-1, len(_skeleton(record)), 2)
    predictions = predictions_of(record, "pose_score", masks=None, key_points=key_points)
    return ImageResult(record.image_id, record.size, known, predictions)


def _skeleton(record: Record) -> Skeleton:
    assert isinstance(record.target, ObjectTarget) and record.target.skeleton is not None
    return record.target.skeleton
