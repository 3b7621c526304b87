"""COCO average precision and recall of objects: https://cocodataset.org/#detection-eval

The numbers come from `hotcoco`, whose precision and recall are those of pycocotools bit for bit. Images are matched in
chunks (`coco_state`), and the states of all chunks are reduced to figures (`CocoFigures.of`). Where pycocotools returns
-1, because there is no ground truth, the value is NaN here and left out of means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.geometry.boxes import with_sizes
from models.metrics.coco.image_results import ImageResult, run_lengths
from models.metrics.ratios import mean_of_known

IOU_THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
"""The IoU thresholds of a match, 0.50 to 0.95."""

RECALLS: Final = np.linspace(0, 1, 101)
"""The recalls at which precision is sampled."""

AREAS: Final = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
"""COCO's area ranges in pixels, both ends included, so that an object of 32² pixels is small and medium."""

HEADLINES: Final = (
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"),
)
"""The twelve numbers of COCO's summary, in its order."""


def detection_limits(max_detections: int) -> tuple[int, ...]:
    """COCO's `maxDets`, how many detections of an image and a class are evaluated: 1, 10, 100 and `max_detections`.

    Args:
        max_detections: The limit of average precision.

    Returns:
        Ascending, the last one `max_detections`; limits above it are left out.

    Raises:
        ValueError: it is below 1.
    """
    if max_detections < 1:
        raise ValueError(f"max_detections must be at least 1, not {max_detections}")
    return tuple(sorted({min(limit, max_detections) for limit in (1, 10, 100, max_detections)}))


def coco_state(
    results: Sequence[ImageResult], class_ids: Sequence[int], masks: bool, max_detections: int = 100
) -> bytes:
    """Matches the images of one chunk.

    Args:
        results: The images, with objects of these classes only (`ImageResult.of_classes`); there may be none.
        class_ids: The evaluated classes.
        masks: Whether IoU is of masks, not of boxes.
        max_detections: The most detections of an image and a class that are evaluated.

    Returns:
        Metric state for `CocoFigures.of`, about 40 bytes for every detection; only the same version of `hotcoco` reads
        it.

    Raises:
        ValueError: Masks are to be measured, and an object has none; or `max_detections` is below 1.
    """
    from hotcoco import Params, StreamingEval

    params = Params("segm" if masks else "bbox")
    params.max_dets = list(detection_limits(max_detections))
    categories = [{"id": class_id + 1, "name": str(class_id)} for class_id in class_ids]
    evaluation = StreamingEval(categories, params.iou_type, params=params)
    images = [{"id": result.image_id, "height": result.size[0], "width": result.size[1]} for result in results]
    targets = [row for result in results for row in _target_rows(result, masks)]
    predictions = [row for result in results for row in _prediction_rows(result, masks)]
    evaluation.update(images, [{**row, "id": number} for number, row in enumerate(targets, 1)], predictions)
    return evaluation.to_bytes()


@dataclass(frozen=True, eq=False)
class CocoFigures:
    """Precision and recall of a data set; NaN for a class or an area range without ground truth.

    Attributes:
        class_ids: K, the evaluated classes.
        limits: M, ascending: see `detection_limits`.
        precision: (10, 101, K, 4, M) float64, 0 to 1, by IoU threshold, recall, class, area and limit: the highest one
            at that recall or above.
        recall: (10, K, 4, M) float64, 0 to 1: the highest one.
        scores: (10, 101, K, 4, M) float64: the score at which each precision is reached; 0 where the recall is not.
    """

    class_ids: tuple[int, ...]
    limits: tuple[int, ...]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    scores: NDArray[np.float64]

    @classmethod
    def of(cls, states: Sequence[bytes]) -> CocoFigures:
        """Merges the states of all chunks of a data set; neither their order nor their sizes matter.

        Args:
            states: Of `coco_state`, at least one, all for the same classes and limits. Of an image that is in several,
                the last one counts.

        Raises:
            ValueError: There is none, they are of different classes or limits, or no states at all.
        """
        from hotcoco import StreamingEval

        evaluation = StreamingEval.merge([StreamingEval.from_bytes(state) for state in states]).finalize()
        evaluation.accumulate()
        arrays, params = evaluation.eval, evaluation.params
        assert arrays is not None
        absent = arrays["recall"] < 0
        return cls(
            tuple(category - 1 for category in params.cat_ids),
            tuple(params.max_dets),
            np.where(absent[:, None], np.nan, arrays["precision"]),
            np.where(absent, np.nan, arrays["recall"]),
            np.where(absent[:, None], np.nan, arrays["scores"]),
        )

    def headline(self) -> dict[str, float]:
        """The twelve numbers of COCO's summary.

        Returns:
            By the names of `HEADLINES`, 0 to 1. Average precision, and recall by size, count the last of `limits`.
        """
        return {name: float(mean_of_known(values.ravel())) for name, values in self._parts()}

    def by_class(self) -> dict[str, NDArray[np.float64]]:
        """`map`, `map_50`, `map_75` and `mar_100` of every class, each (K,)."""
        wanted = {"map", "map_50", "map_75", "mar_100"}
        return {
            name: mean_of_known(values.reshape(-1, len(self.class_ids)), axis=0)
            for name, values in self._parts()
            if name in wanted
        }

    def curve(self, iou: int) -> NDArray[np.float64]:
        """(101,) precision at `RECALLS` and `IOU_THRESHOLDS[iou]`, the mean over the classes."""
        return mean_of_known(self.precision[iou, :, :, 0, -1])

    def _parts(self) -> Iterator[tuple[str, NDArray[np.float64]]]:
        """Each number of the summary before the mean; the last axis is the class."""
        for name, choice in _IOU_CHOICES.items():
            yield name, self.precision[choice, :, :, 0, -1]
        for place, area in enumerate(AREAS):
            if place:
                yield f"map_{area}", self.precision[..., place, -1]
        for limit in (1, 10, 100):
            yield f"mar_{limit}", self.recall[..., 0, self.limits.index(min(limit, self.limits[-1]))]
        for place, area in enumerate(AREAS):
            if place:
                yield f"mar_{area}", self.recall[..., place, -1]


_IOU_CHOICES: Final = {"map": slice(None), "map_50": slice(0, 1), "map_75": slice(5, 6)}


def _target_rows(result: ImageResult, masks: bool) -> list[dict[str, Any]]:
    targets = result.targets
    shapes = run_lengths(targets) if masks else [None] * len(targets.areas)
    rows = zip(
        targets.class_ids.tolist(),
        with_sizes(targets.boxes).tolist(),
        targets.areas.tolist(),
        targets.crowds.tolist(),
        shapes,
        strict=True,
    )
    return [
        {
            "image_id": result.image_id,
            "category_id": class_id + 1,
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
            **({} if shape is None else {"segmentation": shape}),
        }
        for class_id, box, area, crowd, shape in rows
    ]


def _prediction_rows(result: ImageResult, masks: bool) -> list[dict[str, Any]]:
    """Rows of COCO's results; with a mask no box, whose area would replace that of the mask (`COCO.loadRes`)."""
    predictions = result.predictions
    key, shapes = (
        ("segmentation", run_lengths(predictions)) if masks else ("bbox", with_sizes(predictions.boxes).tolist())
    )
    rows = zip(predictions.class_ids.tolist(), predictions.scores.tolist(), shapes, strict=True)
    return [
        {"image_id": result.image_id, "category_id": class_id + 1, "score": score, key: shape}
        for class_id, score, shape in rows
    ]
