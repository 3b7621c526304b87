"""Matches predictions to ground truth by COCO's rules, for a chunk of images at a time, in numpy.

Source: `COCOeval.evaluateImg` of pycocotools, https://github.com/ppwwyyxx/cocoapi. The predictions of an image and a
class are matched greedily by descending score, each to the unmatched target with the highest IoU (the last of equals).
Targets of the area range come before ignored ones; a crowd is ignored, and can be matched any number of times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.average_precision import AREAS, IOU_THRESHOLDS
from models.metrics.coco.errors import BACKGROUND_IOU, POSITIVE_IOU, find_errors
from models.metrics.coco.image_results import ImageResult, overlaps, prediction_areas
from models.metrics.coco.key_points import is_labelled, keypoint_areas, oks
from models.metrics.coco.matches import IN_CROWD, Matches
from models.metrics.coco.pairing import NOTHING, Pairs, pair_greedily, turns_within

_BITS: Final = (1 << np.arange(len(IOU_THRESHOLDS))).astype(np.uint16)
_RANGES: Final = np.array(list(AREAS.values()), np.float64)


def match_images(
    results: Sequence[ImageResult], masks: bool, max_detections: int = 100, sigmas: Sequence[float] | None = None
) -> Matches:
    """Matches the images of one chunk.

    Args:
        results: The images; there may be none.
        masks: Whether IoU is of masks, not of boxes.
        max_detections: The most predictions of an image and a class that are evaluated.
        sigmas: Of the skeleton, where OKS takes the place of IoU; None where it does not. Targets without labelled key
            points are then ignored, as in `COCOeval`.

    Raises:
        ValueError: Masks or key points are to be measured, and an image has none.
    """
    chunk = _Chunk.of(sorted(results, key=lambda result: result.image_id), masks, max_detections, sigmas)
    counts = ~chunk.unjudged[:, None] & _within(chunk.target_areas)
    choice = _choose(chunk, counts)
    has = choice != NOTHING
    ignored = np.where(
        has,
        ~np.append(counts, np.zeros((1, len(AREAS)), np.bool_), 0)[choice, np.arange(len(AREAS))],
        ~_within(chunk.areas)[:, None],
    )
    used = chunk.unjudged.copy()
    used[choice[has[:, 0, 0], 0, 0]] = True
    ranks = chunk.ranks()
    real = ~chunk.unjudged[chunk.pairs.targets]
    errors = find_errors(chunk.pairs.only(real), chunk.same_class[real], ~has[:, 0, 0], used, ranks)
    return Matches(
        image_ids=chunk.image_ids,
        images=chunk.images,
        class_ids=chunk.class_ids.astype(np.int32),
        scores=chunk.scores,
        places=chunk.places.astype(np.int32),
        matched=_packed(has),
        ignored=_packed(ignored),
        kinds=errors.kinds,
        corrected_class=_class_of(errors.corrected_target, chunk),
        confused_with=_confused_with(chunk, ranks),
        target_images=chunk.target_images,
        target_classes=chunk.target_classes.astype(np.int32),
        target_counts=counts,
        missed=errors.missed,
    )


@dataclass(frozen=True, eq=False)
class _Chunk:
    """The objects of a chunk of images, concatenated; predictions class by class, by descending score.

    `unjudged` are crowds, and where key points are measured the targets without any.
    """

    image_ids: NDArray[np.int64]
    images: NDArray[np.int32]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    places: NDArray[np.int64]
    areas: NDArray[np.float64]
    target_images: NDArray[np.int32]
    target_classes: NDArray[np.int64]
    target_areas: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    unjudged: NDArray[np.bool_]
    pairs: Pairs

    @classmethod
    def of(
        cls, results: Sequence[ImageResult], masks: bool, max_detections: int, sigmas: Sequence[float] | None
    ) -> _Chunk:
        best = [result.predictions.counted(max_detections) for result in results]
        predictions, places = zip(*best, strict=True) if best else ((), ())
        counted = [
            ImageResult(result.image_id, result.size, result.targets, kept)
            for result, kept in zip(results, predictions, strict=True)
        ]
        targets = [result.targets for result in results]
        numbers = np.arange(len(results), dtype=np.int32)
        crowds = _joined([known.crowds for known in targets], np.bool_)
        bare = [~is_labelled(known) for known in targets] if sigmas is not None else []
        areas_of = keypoint_areas if sigmas is not None else partial(prediction_areas, masks=masks)
        return cls(
            np.array([result.image_id for result in results], np.int64),
            np.repeat(numbers, [len(best.scores) for best in predictions]),
            _joined([best.class_ids for best in predictions], np.int64),
            _joined([best.scores for best in predictions], np.float64),
            _joined(places, np.int64),
            _joined([areas_of(best) for best in predictions], np.float64),
            np.repeat(numbers, [len(known.areas) for known in targets]),
            _joined([known.class_ids for known in targets], np.int64),
            _joined([known.areas for known in targets], np.float64),
            crowds,
            crowds | _joined(bare, np.bool_) if sigmas is not None else crowds,
            _pairs(counted, masks, sigmas),
        )

    @property
    def same_class(self) -> NDArray[np.bool_]:
        """(P,) whether the two of each pair are of one class."""
        return self.class_ids[self.pairs.predictions] == self.target_classes[self.pairs.targets]

    def ranks(self) -> NDArray[np.int64]:
        """(N,) ranks by image and descending score, over all classes."""
        ranks = np.empty(len(self.scores), np.int64)
        ranks[np.lexsort((-self.scores, self.images))] = np.arange(len(ranks))
        return ranks


def _pairs(results: Sequence[ImageResult], masks: bool, sigmas: Sequence[float] | None) -> Pairs:
    """All pairs of prediction and target with an IoU, or an OKS, of at least `BACKGROUND_IOU`."""
    first_prediction = first_target = 0
    pairs: list[Pairs] = []
    for result in results:
        ious = overlaps(result, masks) if sigmas is None else oks(result.targets, result.predictions, sigmas)
        predictions, targets = np.nonzero(ious >= BACKGROUND_IOU)
        pairs.append(Pairs(predictions + first_prediction, targets + first_target, ious[predictions, targets]))
        first_prediction += ious.shape[0]
        first_target += ious.shape[1]
    return Pairs(
        _joined([some.predictions for some in pairs], np.int64),
        _joined([some.targets for some in pairs], np.int64),
        _joined([some.ious for some in pairs], np.float64),
    )


def _choose(chunk: _Chunk, counts: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(N, 10, 4) the matched target of every prediction by IoU threshold and area range."""
    pairs = chunk.pairs.only(chunk.same_class & (chunk.pairs.ious >= IOU_THRESHOLDS[0]))
    pairs = pairs.only(np.lexsort((-pairs.targets, -pairs.ious, pairs.predictions)))
    asking = np.zeros(len(chunk.scores), np.bool_)
    asking[pairs.predictions] = True
    _, classes = np.unique(chunk.class_ids, return_inverse=True)
    groups = chunk.images.astype(np.int64) * (classes.max(initial=0) + 1) + classes
    turns = turns_within(groups, chunk.places, asking)
    return pair_greedily(pairs, turns, IOU_THRESHOLDS, counts, chunk.crowds)


def _confused_with(chunk: _Chunk, ranks: NDArray[np.int64]) -> NDArray[np.int32]:
    """(N,) see `Matches.confused_with`."""
    crowd = chunk.unjudged[chunk.pairs.targets]
    chosen = (chunk.pairs.ious >= POSITIVE_IOU) & (chunk.same_class | ~crowd)
    pairs = chunk.pairs.only(chosen)
    order = np.lexsort((-pairs.targets, -pairs.ious, crowd[chosen], ~chunk.same_class[chosen], pairs.predictions))
    asking = np.zeros(len(chunk.scores), np.bool_)
    asking[pairs.predictions] = True
    turns = turns_within(chunk.images.astype(np.int64), ranks, asking)
    wanted = np.ones((len(chunk.unjudged), 1), np.bool_)
    choice = pair_greedily(pairs.only(order), turns, np.array([POSITIVE_IOU]), wanted, chunk.unjudged)[:, 0, 0]
    in_crowd = (choice != NOTHING) & np.append(chunk.unjudged, False)[choice]
    return np.where(in_crowd, IN_CROWD, _class_of(choice, chunk)).astype(np.int32)


def _class_of(targets: NDArray[np.int32], chunk: _Chunk) -> NDArray[np.int32]:
    """The class of each target, `NOTHING` where there is none."""
    return np.append(chunk.target_classes, NOTHING)[targets].astype(np.int32)


def _within(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N, 4) whether each area is in each of `AREAS`."""
    return (areas[:, None] >= _RANGES[:, 0]) & (areas[:, None] <= _RANGES[:, 1])


def _packed(flags: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """(N, 10, 4) flags as (N, 4) bits."""
    return (flags * _BITS[:, None]).sum(1, dtype=np.uint16)


def _joined(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])
