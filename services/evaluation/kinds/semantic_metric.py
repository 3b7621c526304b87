"""The metric of semantic segmenters: mIoU, Dice, pixel accuracy and boundary IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import IGNORED, RegionTarget
from models.geometry.masks import Mask
from models.metrics.bootstrap import resampled_sums
from models.metrics.boundaries import DILATION_RATIO, boundary_iou, boundary_overlap
from models.metrics.confusion import confusion_matrix
from models.metrics.ratios import mean_of_known, share
from models.metrics.semantic import Overlap, image_iou, semantic_figures
from services.evaluation.scoring import Figure, Measured, MetricState, Ranking, Record, bootstrap_protocol

_COUNTS: Final = ("both", "target", "prediction", "boundary_both", "boundary_either")
"""The pixel counts of every class in every image."""


@dataclass(frozen=True)
class SemanticMetric:
    """The metric of semantic segmenters; figures are defined in `models.metrics.semantic` and `.boundaries`.

    Attributes:
        class_names: The model's; class 0 is the background.
        measured: Its class ids that the data set has, too; the background always is. Predictions of others count as
            background.
        seed: Of the bootstrap.
        replicates: Of the bootstrap.
    """

    class_names: tuple[str, ...]
    measured: tuple[int, ...]
    seed: int = 0
    replicates: int = field(default=1000, kw_only=True)

    @property
    def class_ids(self) -> NDArray[np.int64]:
        """(K,) ascending: the evaluated classes, the background first."""
        return np.union1d([0], self.measured).astype(np.int64)

    def update(self, records: Sequence[Record]) -> MetricState:
        """Reduces records to metric state.

        Args:
            records: N of them, with a `RegionTarget` each, and answers with masks as run lengths.

        Returns:
            `index` (N,) int64; by image and measured class, (N, K) int32 pixels: `both` of the class in target and
            prediction, `target`, `prediction`, and near its outline `boundary_both` and `boundary_either`; of the whole
            chunk, `confusion` (1, K, K) int64 pixels, rows by target.

        Raises:
            TypeError: A target is of another kind, or a mask is not written as run lengths.
            ValueError: A mask or class map is not of the image's size, or a class is unknown.
        """
        classes = len(self.class_ids)
        confusion = np.zeros((1, classes, classes), np.int64)
        counts = np.zeros((len(_COUNTS), len(records), classes), np.int32)
        for place, record in enumerate(records):
            target, prediction = self._maps(record)
            of_image = confusion_matrix(target, prediction, classes, IGNORED)
            overlap = Overlap.of(of_image)
            counts[:3, place] = overlap.both, overlap.target, overlap.prediction
            counts[3:, place] = boundary_overlap(target, prediction, classes, IGNORED).T
            confusion += of_image
        index = np.array([record.index for record in records], np.int64)
        return {"index": index, "confusion": confusion, **dict(zip(_COUNTS, counts, strict=True))}

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        """Computes the figures from the states of all chunks.

        Returns:
            `headline`: those of `models.metrics.semantic.semantic_figures`, and `boundary_iou`, the mean over classes
            without the background. `details`: `confusion` with `class_ids` and `matrix`, in pixels. Of `ranking`,
            quality is `models.metrics.semantic.image_iou`, and wrong confidence the share of an image's known pixels
            that are wrong.
        """
        joined = [self.update([]), *chunks]
        whole = {name: np.concatenate([chunk[name] for chunk in joined]) for name in joined[0]}
        counts = np.stack([whole[name] for name in _COUNTS], 1)
        class_ids = self.class_ids
        matrix: list[list[int]] = whole["confusion"].sum(0).tolist()
        return Measured(
            self._headline(counts),
            self._rows(counts.sum(0, dtype=np.int64)),
            {"confusion": {"class_ids": class_ids.tolist(), "matrix": matrix}},
            _ranking(whole["index"], Overlap(whole["both"], whole["target"], whole["prediction"])),
            {"boundary_dilation": DILATION_RATIO, **bootstrap_protocol(self.replicates, self.seed)},
        )

    def _maps(self, record: Record) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Target and prediction, (H, W) each, in places of `class_ids`."""
        if not isinstance(record.target, RegionTarget):
            kind = type(record.target).__name__
            raise TypeError(f"{record.name}: a semantic segmenter is measured by class maps, not by {kind}")
        class_map = record.target.class_map
        if class_map.shape != record.size:
            raise ValueError(f"{record.name}: the class map is {class_map.shape}, and the image {record.size}")
        places, known = np.full(256, IGNORED, np.uint8), np.zeros(256, np.bool_)
        places[self.class_ids] = np.arange(len(self.class_ids))
        known[[*self.class_ids, IGNORED]] = True
        if (strange := class_map[~known[class_map]]).size:
            raise ValueError(f"{record.name}: the class map has the class {strange[0]}, which is not measured")
        return places[class_map], self._predicted(record)

    def _predicted(self, record: Record) -> NDArray[np.uint8]:
        places = {class_id: place for place, class_id in enumerate(self.class_ids.tolist())}
        predicted = np.zeros(record.size, np.uint8)
        for row in record.answer["predictions"]:
            mask = _mask_of(row, record)
            if (class_id := row["class_id"]) not in range(len(self.class_names)):
                raise ValueError(f"{record.name}: the answer has the class {class_id}, which the model does not have")
            region, (top, left) = mask.to_region()
            predicted[top : top + region.shape[0], left : left + region.shape[1]][region] = places.get(class_id, 0)
        return predicted

    def _headline(self, counts: NDArray[np.int32]) -> dict[str, Figure]:
        values = _figures(counts.sum(0, dtype=np.int64))
        replicates = _figures(resampled_sums(counts, self.replicates, self.seed))
        return {name: Figure.of(float(value), replicates[name]) for name, value in values.items()}

    def _rows(self, counts: NDArray[np.int64]) -> list[dict[str, Any]]:
        overlap = Overlap(counts[0], counts[1], counts[2])
        iou, dice, outline = overlap.iou(), overlap.dice(), boundary_iou(counts[3], counts[4], counts[1])
        return [
            {
                "class_id": class_id,
                "class_name": self.class_names[class_id],
                "targets": int(counts[1, place]),
                "iou": float(iou[place]),
                "dice": float(dice[place]),
                "boundary_iou": float(outline[place]),
            }
            for place, class_id in enumerate(self.class_ids.tolist())
        ]


def _figures(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Computes the figures from sums of pixel counts, (…, 5, K)."""
    both, target, prediction, near_both, near_either = np.moveaxis(counts, -2, 0)
    outline = boundary_iou(near_both, near_either, target)[..., 1:]
    return {**semantic_figures(Overlap(both, target, prediction)), "boundary_iou": mean_of_known(outline)}


def _mask_of(row: Any, record: Record) -> Mask:
    if not isinstance(row.get("mask"), dict):
        raise TypeError(f"{record.name}: the masks of the answer must be run lengths")
    mask = Mask.from_coco(row["mask"])
    if mask.size != record.size:
        raise ValueError(f"{record.name}: a mask is {mask.size}, and the image {record.size}")
    return mask


def _ranking(index: NDArray[np.int64], overlap: Overlap) -> Ranking:
    wrong = share(overlap.target.sum(-1) - overlap.both.sum(-1), overlap.target.sum(-1))
    return Ranking(index, image_iou(overlap), np.where(wrong > 0, wrong, np.nan))
