"""Boundary IoU: how well the outlines of classes are met.

IoU of whole regions hardly tells a good outline of a large object from a poor one. Boundary IoU compares only the
pixels that are near an outline (B. Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation", 2021, arXiv:2103.16562).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.ratios import Numbers, share, where_known

DILATION_RATIO: Final = 0.02
"""How near, as a share of the image's diagonal: the paper's, section 5.1, and its published code's."""


def reach(size: tuple[int, int], ratio: float = DILATION_RATIO) -> int:
    """How near to an outline a pixel must be.

    Args:
        size: (height, width) of the image in pixels.
        ratio: Of the diagonal.

    Returns:
        Pixels, at least 1.
    """
    return max(1, round(ratio * math.hypot(*size)))


def boundary(covered: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Finds the covered pixels near an outline: those that have a pixel that is not covered, or is outside the image,
    within the square of 2 × `pixels` + 1 around them. (The authors' code erodes `pixels` times by a square of 3.)

    Args:
        covered: (H, W).
        pixels: How near, at least 1.

    Returns:
        (H, W).
    """
    return covered & ~_all_around(_all_around(covered, pixels).T, pixels).T


def boundary_overlap(
    target: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int, ignored: int, ratio: float = DILATION_RATIO
) -> NDArray[np.int64]:
    """Counts the pixels near the outlines of every class in an image; counts of several images may be added up.

    Pixels whose target nobody knows are not counted and make no outline, in the target as in the prediction: an
    outline that runs through them is as good as any other there.

    Args:
        target: (H, W) class ids; `ignored` where nobody knows.
        prediction: (H, W) class ids.
        classes: K; ids from there on are of no class.
        ignored: See `target`.
        ratio: How near, as a share of the diagonal.

    Returns:
        (K, 2) int64: pixels near the class's outline both in target and prediction, and in either.
    """
    counts = np.zeros((classes, 2), np.int64)
    unknown = target == ignored
    pixels = reach((target.shape[0], target.shape[1]), ratio)
    there = _ids_of(target) | _ids_of(prediction)
    there[ignored] = False
    for class_id in np.flatnonzero(there[:classes]).tolist():
        of_target, of_prediction = target == class_id, prediction == class_id
        part = _around(of_target | of_prediction, pixels)
        free = unknown[part]
        near = [boundary(region[part] | free, pixels) & region[part] & ~free for region in (of_target, of_prediction)]
        counts[class_id] = np.count_nonzero(near[0] & near[1]), np.count_nonzero(near[0] | near[1])
    return counts


def boundary_iou(both: Numbers, either: Numbers, target: Numbers) -> NDArray[np.float64]:
    """Boundary IoU of each class over a data set: pixels in both boundaries as a share of those in either, each summed
    over all images first, as IoU is. (The paper's figures of objects are of single ones.)

    Args:
        both: (…, K), see `boundary_overlap`.
        either: (…, K).
        target: (…, K), all pixels of the class.

    Returns:
        (…, K) float64, 0 to 1; NaN of a class that no target has.
    """
    return where_known(share(both, either), np.asarray(target) > 0)


def _ids_of(class_map: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.bincount(class_map.ravel(), minlength=256) > 0


def _around(covered: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """The smallest rectangle around what is covered, with a margin within the image."""
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )


def _all_around(covered: NDArray[Any], pixels: int) -> NDArray[np.bool_]:
    """Whether all of a column's pixels from `pixels` above to `pixels` below are covered; outside, none is.

    Stretches of 1, 2, 4, … pixels are put together from two of half the length, and the last one from two that overlap,
    so that the work hardly grows with the stretch.
    """
    wanted = 2 * pixels + 1
    stretches = np.pad(covered, ((pixels, pixels), (0, 0)))
    length = 1
    while length < wanted:
        step = min(length, wanted - length)
        stretches = stretches[:-step] & stretches[step:]
        length += step
    return stretches
