"""Bootstrap confidence intervals of metrics over the images of a data set.

The images are resampled with replacement many times (the replicates), the metric is computed for each, and the interval
is the range of the middle 95 % of them: B. Efron, "Bootstrap methods: another look at the jackknife", 1979; B. Efron
and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

No image is copied: a replicate is a row of weights, the number of times that each image is drawn. Metrics that are
quotients of sums over images take their sums as weights times sums of an image (`resampled_sums`); others take the
weights themselves (`weight_chunks`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.metrics.ratios import mean_of_known

CHUNK_BYTES: Final = 64 * 2**20
"""Default size of the weights that are in memory at a time."""


def weight_chunks(
    images: int, replicates: int, seed: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[NDArray[np.uint16]]:
    """Yields how many times every replicate draws every image, some replicates at a time.

    Args:
        images: N, number of images, at least 0.
        replicates: B, number of replicates, at least 0.
        seed: Equal seeds give equal draws.
        chunk_bytes: Of one chunk, at most; a chunk is at least one row. It does not change what is drawn.

    Yields:
        (b, N) uint16, the next b replicates, all together B; every row adds up to N.

    Raises:
        ValueError: A number is negative.
    """
    if min(images, replicates, seed) < 0:
        raise ValueError(f"images, replicates and seed must be 0 or more, not {images}, {replicates} and {seed}")
    drawing = np.random.default_rng(seed)
    rows = max(1, chunk_bytes // max(1, 2 * images))
    for first in range(0, replicates, rows):
        chunk = np.zeros((min(rows, replicates - first), images), np.uint16)
        for row in chunk if images else ():
            row[:] = np.bincount(drawing.integers(0, images, images), minlength=images)
        yield chunk


def resampled_sums(values: NDArray[Any], replicates: int, seed: int) -> NDArray[np.float64]:
    """Sums values over the images of every replicate.

    Args:
        values: (N, …), numbers or bool, finite, of each image. A NaN would spread to every replicate.
        replicates: B, at least 0.
        seed: Equal seeds give equal draws.

    Returns:
        (B, …) float64; exact as long as the sums of whole numbers stay below 2⁵³. Zeros where there is no image.
    """
    images = len(values)
    flat = values.reshape(images, int(np.prod(values.shape[1:]))).astype(np.float64)
    sums = [chunk.astype(np.float64) @ flat for chunk in weight_chunks(images, replicates, seed, CHUNK_BYTES // 4)]
    return np.concatenate([np.zeros((0, flat.shape[1])), *sums]).reshape(replicates, *values.shape[1:])


def interval(values: NDArray[np.floating[Any]], level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of the replicates.

    Args:
        values: (B,), the metric of every replicate; NaN where it is undefined.
        level: Confidence level, between 0 and 1.

    Returns:
        Lower and upper end, interpolated as `numpy.quantile` does, over the replicates that are not NaN; NaN and NaN
        where fewer than half are not. Both ends are the metric itself where all images agree, or there is only one.

    Raises:
        ValueError: `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}")
    known = values[~np.isnan(values)]
    if not len(known) or 2 * len(known) < len(values):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def centred_interval(figure: float, replicates: NDArray[np.floating[Any]], level: float = 0.95) -> tuple[float, float]:
    """Percentile interval, shifted so that the mean of the replicates is the metric: a correction of their bias.

    Replicates lack some images and have others twice. Where classes have few images or objects, that biases some
    metrics: a mean over classes covers fewer of them, the average precision of few objects comes out higher, and so
    does a calibration error. The metric of all images can then lie outside the middle 95 % of its own replicates (seen
    for average precision with 26 objects of each of 80 classes, and for weighted precision with 20 images of each of
    1000). So the replicates determine the width of the interval, and the metric its position. Unbiased metrics, such
    as accuracy, keep their interval.

    Args:
        figure: The metric over all images, 0 to 1 or NaN.
        replicates: (B,), see `interval`.
        level: See `interval`.

    Returns:
        Lower and upper end, 0 to 1, with the figure between; NaN and NaN where it is NaN, or as for `interval`.

    Raises:
        ValueError: `level` is not between 0 and 1.
    """
    low, high = interval(replicates + (figure - mean_of_known(np.asarray(replicates, np.float64))), level)
    if math.isnan(low):
        return math.nan, math.nan
    return max(min(low, figure), 0.0), min(max(high, figure), 1.0)
