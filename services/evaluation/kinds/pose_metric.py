"""The metric of pose estimators: average precision by OKS, F1 at OKS 0.5, and average precision of the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.key_points import order_in
from models.datasets.samples import ObjectTarget
from models.metrics.coco.average_precision import AREAS, IOU_THRESHOLDS, RECALLS, detection_limits
from models.metrics.coco.bootstrap import (
    affordable_replicates,
    resampled_figures,
    resampled_operations,
    weighted_figures,
)
from models.metrics.coco.confusion import object_confusion
from models.metrics.coco.errors import error_costs
from models.metrics.coco.image_results import ImageResult, Predictions
from models.metrics.coco.key_points import HEADLINES, oks_figures
from models.metrics.coco.matches import Matches
from models.metrics.coco.matching import match_images
from models.metrics.coco.ranking import rank_classes
from models.metrics.coco.thresholds import (
    CURVE_SCORES,
    Verdicts,
    best_operation,
    f1_curve,
    most_confident_errors,
    score_histogram,
)
from models.skeletons import Skeleton
from services.evaluation.scoring import Figure, Measured, MetricState, Ranking, Record, bootstrap_protocol
from services.kinds.detection import BOX_MEMBERS

_SCORE_EDGES: Final = np.linspace(0, 1, 11).round(1).tolist()
_OKS, _BOXES = "oks_", "box_"
_BOX_FIGURES: Final = ("map", "map_50", "map_75")


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
        columns: MetricState = {"indices": np.array([record.index for record in records], np.int64)}
        columns["image_ids"] = np.array([record.image_id for record in records], np.int64)
        sigmas = _skeleton(records[0]).sigmas if records else (1.0,)
        most = self._limits[-1]
        columns |= match_images(results, False, most, sigmas).to_columns(_OKS)
        return columns | match_images(results, False, most).to_columns(_BOXES)

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        """Computes the figures from the states of all chunks; see `Metric.compute`."""
        chunks = chunks or [self.update([])]
        matches, boxes = (_matches(chunks, prefix) for prefix in (_OKS, _BOXES))
        verdicts = Verdicts.of(matches)
        best = best_operation(verdicts)
        replicates = affordable_replicates(len(matches.scores), self._replicates)
        true, false = score_histogram(verdicts, _SCORE_EDGES)
        details = {
            "confusion": {
                "class_ids": [*self._measured, None],
                "matrix": object_confusion(matches, self._measured, best.score).tolist(),
                "iou_threshold": 0.5,
                "score_threshold": best.score,
            },
            "errors": [asdict(cost) for cost in error_costs(matches, self._measured)],
            "f1_curve": {
                "scores": CURVE_SCORES.round(2).tolist(),
                "f1": f1_curve(verdicts).tolist(),
                "best_score": best.score,
            },
            "scores": {"edges": _SCORE_EDGES, "true": true.tolist(), "false": false.tolist()},
        }
        return Measured(
            headline=self._headline(matches, boxes, verdicts, replicates),
            per_class=self._per_class(matches, verdicts),
            details=details,
            ranking=_ranking(chunks, matches, verdicts, best.score),
            protocol=self._protocol(replicates),
        )

    def _headline(self, matches: Matches, boxes: Matches, verdicts: Verdicts, replicates: int) -> dict[str, Figure]:
        drawn = self._resampled(matches, replicates)
        values = oks_figures(matches, self._measured, self._limits[-1])
        headline = {
            name: Figure.of(value, drawn[HEADLINES[name]]) if HEADLINES[name] in drawn else Figure(value)
            for name, value in values.items()
        }
        _, *best = best_operation(verdicts)
        chosen = resampled_operations(verdicts, len(matches.image_ids), replicates, self._seed)
        for place, name in enumerate(("precision", "recall", "f1")):
            headline[name] = Figure.of(best[place], chosen[:, place])
        drawn = self._resampled(boxes, replicates, areas=1)
        weights = np.ones((len(boxes.image_ids), 1))
        of_boxes = weighted_figures(list(rank_classes(boxes, self._measured)), weights, self._limits, areas=1)
        for name in _BOX_FIGURES:
            headline[_BOXES + name] = Figure.of(float(of_boxes[name][0]), drawn[name])
        return headline

    def _resampled(self, matches: Matches, replicates: int, areas: int = len(AREAS)) -> dict[str, NDArray[np.float64]]:
        return resampled_figures(matches, self._measured, self._limits, replicates, self._seed, areas)

    def _per_class(self, matches: Matches, verdicts: Verdicts) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for class_id in self._measured:
            figures = oks_figures(matches, [class_id], self._limits[-1])
            own = verdicts.of_class(class_id)
            best = best_operation(own)
            rows.append(
                {
                    "class_id": class_id,
                    "class_name": self._class_names[class_id],
                    "targets": len(own.target_classes),
                    **{name: figures[name] for name in ("oks_ap", "oks_ap_50", "oks_ap_75", "oks_ar")},
                    "best_score": best.score,
                    "precision": best.precision,
                    "recall": best.recall,
                    "f1": best.f1,
                }
            )
        return rows

    def _protocol(self, replicates: int) -> dict[str, Any]:
        return {
            "iou_type": "keypoints",
            "iou_thresholds": IOU_THRESHOLDS.round(2).tolist(),
            "recall_points": len(RECALLS),
            "areas_pixels": {name: list(limits) for name, limits in AREAS.items() if name != "small"},
            "max_detections": self._limits[-1],
            "max_detections_per": "image and class",
            **bootstrap_protocol(replicates, self._seed),
        }


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
    predictions = Predictions(
        np.array([[row["box"][member] for member in BOX_MEMBERS] for row in rows], np.float64).reshape(-1, 4),
        np.array([row["class_id"] for row in rows], np.int64),
        np.array([row["pose_score"] for row in rows], np.float64),
        None,
        np.array(places, np.float64).reshape(-1, len(_skeleton(record)), 2),
    )
    return ImageResult(record.image_id, record.size, known, predictions)


def _skeleton(record: Record) -> Skeleton:
    assert isinstance(record.target, ObjectTarget) and record.target.skeleton is not None
    return record.target.skeleton


def _matches(chunks: Sequence[MetricState], prefix: str) -> Matches:
    return Matches.joined([Matches.from_columns(chunk, prefix) for chunk in chunks])


def _ranking(chunks: Sequence[MetricState], matches: Matches, verdicts: Verdicts, score: float) -> Ranking:
    """The quality of an image is its F1 at OKS 0.5 and the best score threshold; 1 without targets and predictions."""
    indices, image_ids = (np.concatenate([chunk[name] for chunk in chunks]) for name in ("indices", "image_ids"))
    order = np.argsort(indices, kind="stable")
    place = np.searchsorted(matches.image_ids, image_ids[order])
    count = len(matches.image_ids)
    right, predictions, targets = verdicts.by_image(count, score).T
    quality = np.where(predictions + targets > 0, 2 * right / np.maximum(predictions + targets, 1), 1.0)
    return Ranking(indices[order], quality[place], most_confident_errors(verdicts, count)[place])
