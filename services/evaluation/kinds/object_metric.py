"""The metric of detectors and instance segmenters: COCO average precision, F1, confusion matrix and TIDE errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from models.datasets.samples import ObjectTarget
from models.geometry.masks import Mask
from models.metrics.coco.average_precision import IOU_THRESHOLDS, RECALLS, CocoFigures, coco_state, detection_limits
from models.metrics.coco.bootstrap import affordable_replicates, resampled_figures
from models.metrics.coco.image_results import ImageResult
from models.metrics.coco.matches import Matches
from models.metrics.coco.matching import match_images
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

_BOXES, _MASKS = "box_", "mask_"
_BOX_FIGURES: Final = ("map", "map_50", "map_75")


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
        columns = record_columns(records)
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
        matches = joined_matches(chunks, prefix)
        verdicts = Verdicts.of(matches)
        coco = _figures(chunks, prefix)
        replicates = affordable_replicates(len(matches.scores), self._replicates)
        iou_type = "segm" if self._masks else "bbox"
        return Measured(
            headline=self._headline(chunks, coco, matches, verdicts, replicates),
            per_class=self._per_class(coco, verdicts),
            details={**_curves(coco), **threshold_details(matches, verdicts, self._measured)},
            ranking=ranking_by_f1(chunks, matches, verdicts),
            protocol=coco_protocol(iou_type, self._limits[-1]) | bootstrap_protocol(replicates, self._seed),
        )

    def _prefixes(self) -> tuple[str, ...]:
        """Prefixes of the columns of masks and of boxes, those of the headline first."""
        return (_MASKS, _BOXES) if self._masks else (_BOXES,)

    def _headline(
        self, chunks: Sequence[MetricState], coco: CocoFigures, matches: Matches, verdicts: Verdicts, replicates: int
    ) -> dict[str, Figure]:
        drawn = resampled_figures(matches, self._measured, self._limits, replicates, self._seed)
        headline = bounded(coco.headline(), drawn)
        headline |= best_figures(verdicts, len(matches.image_ids), replicates, self._seed)
        if self._masks:
            boxes = joined_matches(chunks, _BOXES)
            values = _figures(chunks, _BOXES).headline()
            drawn = resampled_figures(boxes, self._measured, self._limits, replicates, self._seed, areas=1)
            figures = bounded({name: values[name] for name in _BOX_FIGURES}, drawn)
            headline |= {_BOXES + name: figure for name, figure in figures.items()}
        return headline

    def _per_class(self, coco: CocoFigures, verdicts: Verdicts) -> list[dict[str, Any]]:
        of_classes = coco.by_class()
        return [
            class_row(
                class_id,
                self._class_names[class_id],
                verdicts,
                {name: float(values[place]) for name, values in of_classes.items()},
            )
            for place, class_id in enumerate(coco.class_ids)
        ]


def _result_of(record: Record, masks: bool) -> ImageResult:
    """Converts a record to the input of COCO's metrics."""
    known = record.target
    assert isinstance(known, ObjectTarget)
    rows: Sequence[Mapping[str, Any]] = record.answer["predictions"]
    of_rows = tuple(Mask.from_coco(row["mask"]) for row in rows) if masks else None
    return ImageResult(record.image_id, record.size, known, predictions_of(record, masks=of_rows))


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
