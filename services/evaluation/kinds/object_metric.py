"""The metric of detectors and instance segmenters: COCO average precision, F1, confusion matrix and TIDE errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import ObjectTarget
from models.geometry.masks import Mask
from models.metrics.coco.average_precision import (
    AREAS,
    IOU_THRESHOLDS,
    RECALLS,
    CocoFigures,
    coco_state,
    detection_limits,
)
from models.metrics.coco.bootstrap import affordable_replicates, resampled_figures, resampled_operations
from models.metrics.coco.confusion import object_confusion
from models.metrics.coco.errors import error_costs
from models.metrics.coco.image_results import ImageResult, Predictions
from models.metrics.coco.matches import Matches
from models.metrics.coco.matching import match_images
from models.metrics.coco.thresholds import (
    CURVE_SCORES,
    Operation,
    Verdicts,
    best_operation,
    f1_curve,
    most_confident_errors,
    score_histogram,
)
from services.evaluation.scoring import Figure, Measured, MetricState, Ranking, Record, bootstrap_protocol
from services.kinds.detection import BOX_MEMBERS

_SCORE_EDGES: Final = np.linspace(0, 1, 11).round(1).tolist()
_BOXES, _MASKS = "box_", "mask_"


class ObjectMetric:
    """The metric of detectors and instance segmenters; `services.evaluation.report` draws its details."""

    def __init__(
        self,
        class_names: tuple[str, ...],
        measured: tuple[int, ...],
        seed: int = 0,
        *,
        masks: bool,
        max_detections: int = 100,
        replicates: int = 1000,
    ) -> None:
        """Sets classes, limits and the bootstrap.

        Args:
            class_names: The model's.
            measured: Its class ids that the data set has, too; predictions of others are dropped.
            seed: Of the bootstrap.
            masks: Whether IoU is of masks, and of boxes besides; or of boxes only.
            max_detections: The most predictions of an image and a class that are evaluated, at least 1.
            replicates: Of the bootstrap; fewer where there are very many objects.

        Raises:
            ValueError: `max_detections` is below 1.
        """
        self._class_names = class_names
        self._measured = measured
        self._seed = seed
        self._masks = masks
        self._limits = detection_limits(max_detections)
        self._replicates = replicates

    def update(self, records: Sequence[Record]) -> MetricState:
        """Matches the predictions of one chunk to its ground truth; see `Metric.update`.

        Raises:
            ValueError: Masks are to be measured, and an object has none.
        """
        results = [_result_of(record, self._masks).of_classes(self._measured) for record in records]
        columns: MetricState = {"indices": np.array([record.index for record in records], np.int64)}
        columns["image_ids"] = np.array([record.image_id for record in records], np.int64)
        for prefix in self._prefixes():
            masks, most = prefix == _MASKS, self._limits[-1]
            state = coco_state(results, self._measured, masks, most)
            columns[prefix + "state"] = np.frombuffer(state, np.uint8)
            columns |= match_images(results, masks, most).to_columns(prefix)
        return columns

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        """Computes the figures from the states of all chunks; see `Metric.compute`."""
        chunks = chunks or [self.update([])]
        prefix = self._prefixes()[0]
        matches = _matches(chunks, prefix)
        verdicts = Verdicts.of(matches)
        best = best_operation(verdicts)
        coco = _figures(chunks, prefix)
        replicates = affordable_replicates(len(matches.scores), self._replicates)
        return Measured(
            headline=self._headline(chunks, coco, matches, verdicts, replicates),
            per_class=self._per_class(coco, verdicts),
            details=self._details(coco, matches, verdicts, best),
            ranking=_ranking(chunks, matches, verdicts, best),
            protocol=self._protocol(replicates),
        )

    def _prefixes(self) -> tuple[str, ...]:
        """Prefixes of the columns of masks and of boxes, those of the headline first."""
        return (_MASKS, _BOXES) if self._masks else (_BOXES,)

    def _headline(
        self, chunks: Sequence[MetricState], coco: CocoFigures, matches: Matches, verdicts: Verdicts, replicates: int
    ) -> dict[str, Figure]:
        drawn = resampled_figures(matches, self._measured, self._limits, replicates, self._seed)
        headline = _bounded(coco.headline(), drawn)
        _, *best = best_operation(verdicts)
        chosen = resampled_operations(verdicts, len(matches.image_ids), replicates, self._seed)
        names = ("precision", "recall", "f1")
        headline |= _bounded(dict(zip(names, best, strict=True)), dict(zip(names, chosen.T, strict=True)))
        if self._masks:
            boxes = _matches(chunks, _BOXES)
            values = _figures(chunks, _BOXES).headline()
            drawn = resampled_figures(boxes, self._measured, self._limits, replicates, self._seed, areas=1)
            figures = _bounded({name: values[name] for name in ("map", "map_50", "map_75")}, drawn)
            headline |= {f"box_{name}": figure for name, figure in figures.items()}
        return headline

    def _per_class(self, coco: CocoFigures, verdicts: Verdicts) -> list[dict[str, Any]]:
        of_classes = coco.by_class()
        rows: list[dict[str, Any]] = []
        for place, class_id in enumerate(coco.class_ids):
            own = verdicts.of_class(class_id)
            best = best_operation(own)
            rows.append(
                {
                    "class_id": class_id,
                    "class_name": self._class_names[class_id],
                    "targets": len(own.target_classes),
                    **{name: float(values[place]) for name, values in of_classes.items()},
                    "best_score": best.score,
                    "precision": best.precision,
                    "recall": best.recall,
                    "f1": best.f1,
                }
            )
        return rows

    def _details(self, coco: CocoFigures, matches: Matches, verdicts: Verdicts, best: Operation) -> dict[str, Any]:
        true, false = score_histogram(verdicts, _SCORE_EDGES)
        return {
            **_curves(coco),
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

    def _protocol(self, replicates: int) -> dict[str, Any]:
        return {
            "iou_type": "segm" if self._masks else "bbox",
            "iou_thresholds": IOU_THRESHOLDS.round(2).tolist(),
            "recall_points": len(RECALLS),
            "areas_pixels": {name: list(limits) for name, limits in AREAS.items()},
            "max_detections": self._limits[-1],
            "max_detections_per": "image and class",
            **bootstrap_protocol(replicates, self._seed),
        }


def _bounded(values: Mapping[str, float], drawn: Mapping[str, NDArray[np.float64]]) -> dict[str, Figure]:
    return {name: Figure.of(value, drawn[name]) for name, value in values.items()}


def _result_of(record: Record, masks: bool) -> ImageResult:
    """Converts a record to the input of COCO's metrics."""
    known = record.target
    assert isinstance(known, ObjectTarget)
    rows: Sequence[Mapping[str, Any]] = record.answer["predictions"]
    predictions = Predictions(
        np.array([[row["box"][member] for member in BOX_MEMBERS] for row in rows], np.float64).reshape(-1, 4),
        np.array([row["class_id"] for row in rows], np.int64),
        np.array([row["score"] for row in rows], np.float64),
        tuple(Mask.from_coco(row["mask"]) for row in rows) if masks else None,
    )
    return ImageResult(record.image_id, record.size, known, predictions)


def _matches(chunks: Sequence[MetricState], prefix: str) -> Matches:
    return Matches.joined([Matches.from_columns(chunk, prefix) for chunk in chunks])


def _figures(chunks: Sequence[MetricState], prefix: str) -> CocoFigures:
    return CocoFigures.of([chunk[prefix + "state"].tobytes() for chunk in chunks])


def _curves(coco: CocoFigures) -> dict[str, Any]:
    """Precision-recall curves: of all classes at every IoU threshold, and of every class with targets at 0.5."""
    recalls = RECALLS.round(2).tolist()
    present = np.flatnonzero(~np.isnan(coco.recall[0, :, 0, -1]))
    return {
        "curves": [
            {"iou": round(float(iou), 2), "recall": recalls, "precision": coco.curve(place).tolist()}
            for place, iou in enumerate(IOU_THRESHOLDS)
        ],
        "class_curves": [
            {
                "class_id": coco.class_ids[place],
                "recall": recalls,
                "precision": coco.precision[0, :, place, 0, -1].tolist(),
                "scores": coco.scores[0, :, place, 0, -1].tolist(),
            }
            for place in present.tolist()
        ],
    }


def _ranking(chunks: Sequence[MetricState], matches: Matches, verdicts: Verdicts, best: Operation) -> Ranking:
    """The quality of an image is its F1 at the score threshold of the best F1; 1 without targets and predictions.

    Its most confident error is the false positive at IoU 0.5 with the highest score.
    """
    indices, image_ids = (np.concatenate([chunk[name] for chunk in chunks]) for name in ("indices", "image_ids"))
    order = np.argsort(indices, kind="stable")
    place = np.searchsorted(matches.image_ids, image_ids[order])
    count = len(matches.image_ids)
    right, predictions, targets = verdicts.by_image(count, best.score).T
    quality = np.where(predictions + targets > 0, 2 * right / np.maximum(predictions + targets, 1), 1.0)
    return Ranking(indices[order], quality[place], most_confident_errors(verdicts, count)[place])
