"""Average precision and recall of objects as COCO measures them: https://cocodataset.org/#detection-eval

The numbers come from `hotcoco`, whose precision and recall are those of pycocotools bit for bit. Images are matched a
part at a time (`coco_state`), and the states of all parts make the figures (`CocoFigures.of`). What COCO's tools write
as -1, because there is no such object, is NaN here and left out of means.
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
"""From which intersection over union on an object counts as found."""

RECALLS: Final = np.linspace(0, 1, 101)
"""At which precision is read."""

AREAS: Final = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
"""Sizes of objects in pixels, both ends included, so that an object of 32² pixels is small and medium."""

HEADLINES: Final = (
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"),
)
"""The twelve numbers of COCO's summary, in its order."""


def detection_limits(max_detections: int) -> tuple[int, ...]:
    """How many detections of an image and a class count: COCO's 1, 10 and 100, and what was asked for.

    Args:
        max_detections: The most that count for average precision.

    Returns:
        Ascending, the last one `max_detections`. What is above that is not there: all that count are counted with it.

    Raises:
        ValueError: it is below 1.
    """
    if max_detections < 1:
        raise ValueError(f"max_detections must be at least 1, not {max_detections}")
    return tuple(sorted({min(limit, max_detections) for limit in (1, 10, 100, max_detections)}))


def coco_state(
    results: Sequence[ImageResult], class_ids: Sequence[int], masks: bool, max_detections: int = 100
) -> bytes:
    """Matches the images of one part.

    Args:
        results: The images, with objects of these classes only (`ImageResult.of_classes`); there may be none.
        class_ids: Those that are measured.
        masks: Whether overlap is that of masks, and not of boxes.
        max_detections: The best of an image and a class that count.

    Returns:
        What `CocoFigures.of` reads, about 40 bytes for every detection; of no use to another version of `hotcoco`.

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
    found = [row for result in results for row in _found_rows(result, masks)]
    evaluation.update(images, [{**row, "id": number} for number, row in enumerate(targets, 1)], found)
    return evaluation.to_bytes()


@dataclass(frozen=True, eq=False)
class CocoFigures:
    """Precision and recall of a data set, with NaN for a class, or a size, of which there is no object.

    Attributes:
        class_ids: K, those that are measured.
        limits: M, how many detections of an image and a class count, ascending: see `detection_limits`.
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
        """Puts the parts of a data set together; their order does not matter, nor how it was cut.

        Args:
            states: Of `coco_state`, at least one, all for the same classes and limits. Of an image that is in several,
                the last one counts.

        Raises:
            ValueError: There is none, they are of different classes or limits, or no states at all.
        """
        from hotcoco import StreamingEval

        evaluation = StreamingEval.merge([StreamingEval.from_bytes(state) for state in states]).finalize()
        evaluation.accumulate()
        found, params = evaluation.eval, evaluation.params
        assert found is not None
        absent = found["recall"] < 0
        return cls(
            tuple(category - 1 for category in params.cat_ids),
            tuple(params.max_dets),
            np.where(absent[:, None], np.nan, found["precision"]),
            np.where(absent, np.nan, found["recall"]),
            np.where(absent[:, None], np.nan, found["scores"]),
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
        """What each number is the mean of; the classes are the last axis."""
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


def _found_rows(result: ImageResult, masks: bool) -> list[dict[str, Any]]:
    """With a mask there is no box, as its area would stand for that of the mask (pycocotools, `COCO.loadRes`)."""
    found = result.predictions
    key, shapes = ("segmentation", run_lengths(found)) if masks else ("bbox", with_sizes(found.boxes).tolist())
    rows = zip(found.class_ids.tolist(), found.scores.tolist(), shapes, strict=True)
    return [
        {"image_id": result.image_id, "category_id": class_id + 1, "score": score, key: shape}
        for class_id, score, shape in rows
    ]
