"""Matches what was found in images to their targets, as COCO does it: a part of the images at a time, in numpy.

Source: `COCOeval.evaluateImg` of pycocotools, https://github.com/ppwwyyxx/cocoapi. The found objects of an image and a
class choose by falling score: the target that they overlap most of those left, the last one of equals, targets of the
size in question before others; a crowd can be chosen any number of times, and is one of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.coco.average_precision import AREAS, IOU_THRESHOLDS
from models.metrics.coco.errors import BACKGROUND_IOU, POSITIVE_IOU, find_errors
from models.metrics.coco.image_results import ImageResult, found_areas, overlaps
from models.metrics.coco.matches import IN_CROWD, Matches
from models.metrics.coco.pairing import NOTHING, Pairs, pair_greedily, turns_within

_BITS: Final = (1 << np.arange(len(IOU_THRESHOLDS))).astype(np.uint16)
_RANGES: Final = np.array(list(AREAS.values()), np.float64)


def match_images(results: Sequence[ImageResult], masks: bool, max_detections: int = 100) -> Matches:
    """Matches the images of one part.

    Args:
        results: The images; there may be none.
        masks: Whether overlap is that of masks, and not of boxes.
        max_detections: The best of an image and a class that count.

    Raises:
        ValueError: Masks are to be measured, and an image has none.
    """
    part = _Part.of(sorted(results, key=lambda result: result.image_id), masks, max_detections)
    counts = ~part.crowds[:, None] & _within(part.target_areas)
    choice = _choose(part, counts)
    has = choice != NOTHING
    ignored = np.where(
        has,
        ~np.append(counts, np.zeros((1, len(AREAS)), np.bool_), 0)[choice, np.arange(len(AREAS))],
        ~_within(part.areas)[:, None],
    )
    used = part.crowds.copy()
    used[choice[has[:, 0, 0], 0, 0]] = True
    ranks = part.ranks()
    real = ~part.crowds[part.pairs.targets]
    errors = find_errors(part.pairs.only(real), part.same_class[real], ~has[:, 0, 0], used, ranks)
    return Matches(
        image_ids=part.image_ids,
        images=part.images,
        class_ids=part.class_ids.astype(np.int32),
        scores=part.scores,
        places=part.places.astype(np.int32),
        matched=_packed(has),
        ignored=_packed(ignored),
        kinds=errors.kinds,
        corrected_class=_class_of(errors.corrected_target, part),
        confused_with=_confused_with(part, ranks),
        target_images=part.target_images,
        target_classes=part.target_classes.astype(np.int32),
        target_counts=counts,
        missed=errors.missed,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """Images, object after object; those found class by class and by falling score."""

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
    pairs: Pairs

    @classmethod
    def of(cls, results: Sequence[ImageResult], masks: bool, max_detections: int) -> _Part:
        best = [result.predictions.counted(max_detections) for result in results]
        found, places = zip(*best, strict=True) if best else ((), ())
        counted = [
            ImageResult(result.image_id, result.size, result.targets, kept)
            for result, kept in zip(results, found, strict=True)
        ]
        targets = [result.targets for result in results]
        numbers = np.arange(len(results), dtype=np.int32)
        return cls(
            np.array([result.image_id for result in results], np.int64),
            np.repeat(numbers, [len(best.scores) for best in found]),
            _joined([best.class_ids for best in found], np.int64),
            _joined([best.scores for best in found], np.float64),
            _joined(places, np.int64),
            _joined([found_areas(best, masks) for best in found], np.float64),
            np.repeat(numbers, [len(known.areas) for known in targets]),
            _joined([known.class_ids for known in targets], np.int64),
            _joined([known.areas for known in targets], np.float64),
            _joined([known.crowds for known in targets], np.bool_),
            _pairs(counted, masks),
        )

    @property
    def same_class(self) -> NDArray[np.bool_]:
        """(P,) whether the two of each pair are of one class."""
        return self.class_ids[self.pairs.found] == self.target_classes[self.pairs.targets]

    def ranks(self) -> NDArray[np.int64]:
        """(N,) places by image and falling score, whatever the class."""
        ranks = np.empty(len(self.scores), np.int64)
        ranks[np.lexsort((-self.scores, self.images))] = np.arange(len(ranks))
        return ranks


def _pairs(results: Sequence[ImageResult], masks: bool) -> Pairs:
    """All that overlap by `BACKGROUND_IOU` or more, by found object and target."""
    first_found = first_target = 0
    pairs: list[Pairs] = []
    for result in results:
        ious = overlaps(result, masks)
        found, targets = np.nonzero(ious >= BACKGROUND_IOU)
        pairs.append(Pairs(found + first_found, targets + first_target, ious[found, targets]))
        first_found += ious.shape[0]
        first_target += ious.shape[1]
    return Pairs(
        _joined([some.found for some in pairs], np.int64),
        _joined([some.targets for some in pairs], np.int64),
        _joined([some.ious for some in pairs], np.float64),
    )


def _choose(part: _Part, counts: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(N, 10, 4) the target of every found object by IoU threshold and size."""
    pairs = part.pairs.only(part.same_class & (part.pairs.ious >= IOU_THRESHOLDS[0]))
    pairs = pairs.only(np.lexsort((-pairs.targets, -pairs.ious, pairs.found)))
    asking = np.zeros(len(part.scores), np.bool_)
    asking[pairs.found] = True
    _, classes = np.unique(part.class_ids, return_inverse=True)
    groups = part.images.astype(np.int64) * (classes.max(initial=0) + 1) + classes
    turns = turns_within(groups, part.places, asking)
    return pair_greedily(pairs, turns, IOU_THRESHOLDS, counts, part.crowds)


def _confused_with(part: _Part, ranks: NDArray[np.int64]) -> NDArray[np.int32]:
    """(N,) see `Matches.confused_with`."""
    crowd = part.crowds[part.pairs.targets]
    chosen = (part.pairs.ious >= POSITIVE_IOU) & (part.same_class | ~crowd)
    pairs = part.pairs.only(chosen)
    order = np.lexsort((-pairs.targets, -pairs.ious, crowd[chosen], ~part.same_class[chosen], pairs.found))
    asking = np.zeros(len(part.scores), np.bool_)
    asking[pairs.found] = True
    turns = turns_within(part.images.astype(np.int64), ranks, asking)
    wanted = np.ones((len(part.crowds), 1), np.bool_)
    choice = pair_greedily(pairs.only(order), turns, np.array([POSITIVE_IOU]), wanted, part.crowds)[:, 0, 0]
    in_crowd = (choice != NOTHING) & np.append(part.crowds, False)[choice]
    return np.where(in_crowd, IN_CROWD, _class_of(choice, part)).astype(np.int32)


def _class_of(targets: NDArray[np.int32], part: _Part) -> NDArray[np.int32]:
    """The class of each target, `NOTHING` where there is none."""
    return np.append(part.target_classes, NOTHING)[targets].astype(np.int32)


def _within(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N, 4) whether each area is of each size."""
    return (areas[:, None] >= _RANGES[:, 0]) & (areas[:, None] <= _RANGES[:, 1])


def _packed(flags: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """(N, 10, 4) flags as (N, 4) bits."""
    return (flags * _BITS[:, None]).sum(1, dtype=np.uint16)


def _joined(arrays: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *arrays])
