"""Boundary IoU: the quality of the contours of segmentation masks.

Mask IoU is hardly sensitive to the contour of large objects. Boundary IoU compares only the pixels near a contour
(B. Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation
Evaluation", 2021, arXiv:2103.16562).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.ratios import Numbers, share, where_known

DILATION_RATIO: Final = 0.02
"""Dilation ratio: distance to the contour as a fraction of the image's diagonal (section 5.1 and the published
code)."""


def reach(size: tuple[int, int], ratio: float = DILATION_RATIO) -> int:
    """Width of the boundary region in pixels.

    Args:
        size: (height, width) of the image in pixels.
        ratio: Of the diagonal.

    Returns:
        Pixels, at least 1.
    """
    return max(1, round(ratio * math.hypot(*size)))


def boundary(covered: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Computes the boundary region of a mask: its pixels with a pixel outside the mask, or outside the image, within
    the square of 2 × `pixels` + 1 around them. (The authors' code erodes `pixels` times by a square of 3.)

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
    """Counts the boundary pixels of every class in an image; counts of several images may be summed.

    Ignored pixels are not counted and form no boundary, neither in the target nor in the prediction.

    Args:
        target: (H, W) class ids; `ignored` where there is no annotation.
        prediction: (H, W) class ids.
        classes: K; ids from there on are of no class.
        ignored: See `target`.
        ratio: Of the width of the boundary to the diagonal.

    Returns:
        (K, 2) int64: intersection and union of the class's boundaries in target and prediction, in pixels.
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
    """Boundary IoU of each class over a data set: intersection over union of the boundaries, each summed over all
    images first, as for mIoU. (The paper's figures are of single objects.)

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
    """Bounding rectangle of a mask, with a margin, clipped to the image."""
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
