"""Average precision from matches, for many weightings of the same images at once, as a bootstrap needs it.

With all weights 1 the figures are those of `models.metrics.coco.average_precision`. Source of the rules:
`COCOeval.accumulate` of pycocotools, https://github.com/ppwwyyxx/cocoapi.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.metrics.coco.average_precision import AREAS, IOU_THRESHOLDS, RECALLS
from models.metrics.coco.matches import Matches
from models.metrics.ratios import share

Weights = NDArray[np.float64]
"""(I, B) whole numbers from 0 on: how often each image counts, in each of B weightings."""


def interpolated_precision(true: Weights, false: Weights, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """COCO's average precision of one class: the mean of interpolated precision at 101 recalls.

    Precision rises at true positives only, so it is computed only there.

    Args:
        true: (M, B), true positives up to each of the M true positives, by descending score.
        false: (M, B), false positives up to there.
        targets: (B,), number of targets.

    Returns:
        (B,), 0 to 1; NaN where there is no target.
    """
    if not len(true):
        return np.where(targets > 0, 0.0, np.nan)
    precision = true / (true + false + np.spacing(1))
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(RECALLS, share(true, targets), "right")
    steps = np.diff(reached, axis=0, prepend=0)
    return np.where(targets > 0, (steps * highest).sum(0) / len(RECALLS), np.nan)


def by_rank(class_ids: NDArray[Any], scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order of predictions by class and descending score; stable for equal scores."""
    return np.lexsort((-scores, class_ids))


@dataclass(frozen=True, eq=False)
class ClassRanking:
    """The predictions of one class by descending score.

    Most are unmatched at every IoU threshold and for every area range: of those only the number by image between the
    matched ones is kept.

    Attributes:
        targets: (4, I) sparse, targets by area range and image.
        images: (M,) int32, the image of each of the M that are matched to a target or crowd at some threshold.
        places: (M,) int32, of each, see `Matches`.
        right: (4, 10, M) bool, true positives by area range and IoU threshold.
        wrong: (4, 10, M) bool, false positives.
        others: 4 times (M, I) sparse, by area range: unmatched predictions between one of the M and the next.
    """

    targets: Any
    images: NDArray[np.int32]
    places: NDArray[np.int32]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    others: tuple[Any, ...]

    def figures(self, weights: Weights, limits: Sequence[int], areas: int) -> dict[str, NDArray[np.float64]]:
        """Computes COCO's summary of this class.

        Args:
            weights: Of the images.
            limits: See `models.metrics.coco.average_precision.detection_limits`.
            areas: How many of the sizes to look at, from 1 (all objects) to 4.

        Returns:
            (B,) by the names of `models.metrics.coco.average_precision.HEADLINES`, and the recall at an overlap of 0.50
            and 0.75 as `mar_50` and `mar_75`; NaN where there is no target.
        """
        targets = np.asarray(self.targets @ weights)
        figures: dict[str, NDArray[np.float64]] = {}
        for place, area in zip(range(areas), AREAS, strict=False):
            precision, recall = self._area(place, weights, targets[place], limits)
            if place:
                figures |= {f"map_{area}": precision.mean(0), f"mar_{area}": recall[:, -1].mean(0)}
            else:
                figures |= {"map": precision.mean(0), "map_50": precision[0], "map_75": precision[5]}
                for limit in (1, 10, 100):
                    figures[f"mar_{limit}"] = recall[:, limits.index(min(limit, limits[-1]))].mean(0)
                figures |= {"mar_50": recall[0, -1], "mar_75": recall[5, -1]}
        return figures

    def _area(
        self, area: int, weights: Weights, targets: NDArray[np.float64], limits: Sequence[int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(10, B) average precision, and (10, limits, B) recall."""
        counts = weights[self.images]
        false = np.asarray(self.others[area] @ weights).cumsum(0)
        within = (self.places[:, None] < np.asarray(limits)).astype(np.float64)
        precision, recall = np.empty((len(IOU_THRESHOLDS), len(targets))), []
        for place, (right, wrong) in enumerate(zip(self.right[area], self.wrong[area], strict=True)):
            rows = np.flatnonzero(right)
            mistaken = np.flatnonzero(wrong)
            before = np.zeros((len(rows), len(targets)))
            if len(mistaken):
                sums = np.concatenate([np.zeros((1, len(targets))), counts[mistaken].cumsum(0)])
                before = sums[np.searchsorted(mistaken, rows)]
            true = counts[rows].cumsum(0)
            precision[place] = interpolated_precision(true, false[rows] + before, targets)
            recall.append(share(within[rows].T @ counts[rows], targets))
        return precision, np.stack(recall)


def rank_classes(matches: Matches, class_ids: Sequence[int]) -> Iterator[ClassRanking]:
    """Ranks the predictions of each class.

    Args:
        matches: Of all images.
        class_ids: K.

    Yields:
        One ranking for each class, in their order.
    """
    order = by_rank(matches.class_ids, matches.scores)
    ordered = matches.class_ids[order]
    for class_id in class_ids:
        first, last = np.searchsorted(ordered, [class_id, class_id + 1])
        yield _ranking(matches, order[first:last], np.flatnonzero(matches.target_classes == class_id))


def _ranking(matches: Matches, predictions: NDArray[np.int64], targets: NDArray[np.int64]) -> ClassRanking:
    images = len(matches.image_ids)
    matched, ignored = matches.matched[predictions], matches.ignored[predictions]
    hits = np.flatnonzero(matched.any(1))
    has, left_out = _bits(matched[hits]), _bits(ignored[hits])
    plain = np.flatnonzero(~matched.any(1))
    before = np.searchsorted(hits, plain)  # the hit that comes next
    plain, before = plain[before < len(hits)], before[before < len(hits)]
    others = [ignored[plain, area] == 0 for area in range(len(AREAS))]
    return ClassRanking(
        _counts(matches.target_counts[targets].T, matches.target_images[targets], images),
        matches.images[predictions[hits]],
        matches.places[predictions[hits]],
        has & ~left_out,
        ~has & ~left_out,
        tuple(
            sparse_counts(before[chosen], matches.images[predictions[plain[chosen]]], (len(hits), images))
            for chosen in others
        ),
    )


def _counts(flags: NDArray[np.bool_], images: NDArray[np.int32], count: int) -> Any:
    """(A, I) how many of (A, N) are set in each image."""
    rows, columns = np.nonzero(flags)
    return sparse_counts(rows, images[columns], (len(flags), count))


def sparse_counts(rows: NDArray[Any], columns: NDArray[Any], shape: tuple[int, int]) -> Any:
    """How often each pair of row and column is there, as a sparse array of that shape."""
    return sparse.csr_array(sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=shape))


def _bits(packed: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """(M, 4) bits as (4, 10, M) flags."""
    places = np.arange(len(IOU_THRESHOLDS), dtype=np.uint16)
    return (packed.T[:, None] >> places[:, None] & 1).astype(np.bool_)
