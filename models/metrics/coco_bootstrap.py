"""How far COCO's figures may lie from their true values, by drawing the images again (`models.metrics.bootstrap`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.bootstrap import weight_chunks
from models.metrics.coco import AREAS, HEADLINES
from models.metrics.coco_matches import Matches
from models.metrics.coco_ranking import ClassRanking, Weights, rank_classes
from models.metrics.shares import mean_of_known

WORK: Final = 60_000_000
"""Found objects times replicates that a bootstrap may take, in about five seconds of one core."""

FEWEST_REPLICATES: Final = 100
"""Which are taken however many objects there are."""

_CELLS: Final = 2_000_000
"""Objects or images times replicates that are in memory at a time, as a few arrays of 8 bytes each."""


def affordable_replicates(found: int, replicates: int) -> int:
    """As many replicates as `WORK` allows.

    Args:
        found: Objects that were found, in all images.
        replicates: How many are wanted.

    Returns:
        At most those; at least `FEWEST_REPLICATES`, if so many are wanted.
    """
    return min(replicates, max(FEWEST_REPLICATES, WORK // max(1, found)))


def resampled_figures(
    matches: Matches,
    class_ids: Sequence[int],
    limits: Sequence[int],
    replicates: int,
    seed: int,
    areas: int = len(AREAS),
) -> dict[str, NDArray[np.float64]]:
    """The numbers of COCO's summary for every replicate.

    Args:
        matches: Of all images.
        class_ids: Those that are measured.
        limits: See `models.metrics.coco.detection_limits`.
        replicates: B.
        seed: Equal seeds draw the same images.
        areas: How many of the sizes to look at, from 1 (all objects only) to 4.

    Returns:
        (B,) by the names of `models.metrics.coco.HEADLINES`; NaN for a replicate that has no such target.
    """
    images = len(matches.image_ids)
    rankings = list(rank_classes(matches, class_ids))
    rows = max(1, _CELLS // max(1, images, *(len(ranking.images) for ranking in rankings)))
    chunks = [
        weighted_figures(rankings, chunk.T.astype(np.float64), limits, areas)
        for chunk in weight_chunks(images, replicates, seed, 2 * images * rows)
    ]
    names = [name for name in HEADLINES if not name.endswith(tuple(AREAS)[areas:])]
    return {name: np.concatenate([np.zeros(0), *(chunk[name] for chunk in chunks)]) for name in names}


def weighted_figures(
    rankings: Sequence[ClassRanking], weights: Weights, limits: Sequence[int], areas: int = len(AREAS)
) -> dict[str, NDArray[np.float64]]:
    """The numbers of COCO's summary for every weighting of the images: the means over the classes that have targets.

    Args:
        rankings: One for each class.
        weights: (I, B) of the images.
        limits: See `models.metrics.coco.detection_limits`.
        areas: How many of the sizes to look at.

    Returns:
        (B,) by name; NaN where no class has targets.
    """
    figures = [ranking.figures(weights, limits, areas) for ranking in rankings]
    return {name: mean_of_known(np.stack([of_class[name] for of_class in figures]), axis=0) for name in figures[0]}
