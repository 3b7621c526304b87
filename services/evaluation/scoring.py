"""The interface of a metric: `update` reduces the records of a chunk to metric state, `compute` returns the figures.

`update` runs in the workers and reduces the records of a chunk to a few arrays; `compute` runs once, on the states of
all chunks, without images or predictions. So memory does not grow with the number of pixels, and a finished chunk is
never computed again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.datasets.samples import Target
from models.metrics.bootstrap import centred_interval

MetricState = dict[str, NDArray[Any]]
"""The state of a metric for a chunk: arrays by name, without Python objects, as `numpy.savez` writes them."""


@dataclass(frozen=True, eq=False)
class Record:
    """The ground truth and the predictions of one image.

    Attributes:
        index: Of the image in its data set.
        image_id: Id of the image in the data set.
        name: File name.
        size: (height, width) of the upright image in pixels.
        target: Ground truth in the model's class ids, without classes that the model does not have.
        answer: The predictions as `services.answers.wire.describe_prediction` writes them for every client.
    """

    index: int
    image_id: int
    name: str
    size: tuple[int, int]
    target: Target
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A metric value with its confidence interval.

    Attributes:
        value: NaN where it is undefined; never 0 or -1 for that.
        low: Lower end of the 95 % interval by bootstrap over images; NaN where `value` is.
        high: Upper end.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, value: float, replicates: NDArray[np.float64]) -> Figure:
        """From the value of every bootstrap replicate, (B,): see `centred_interval`."""
        return cls(value, *centred_interval(value, replicates))


@dataclass(frozen=True, eq=False)
class Ranking:
    """Quality of the predictions of every image, for choosing the pictures of a report.

    Attributes:
        indices: (N,) int64, of the images in their data set, ascending.
        quality: (N,) float64, 0 to 1, by which the best and the worst are chosen; NaN where it is undefined.
        wrong_confidence: (N,) float64, 0 to 1, the score of the most confident error; NaN where there is none.
    """

    indices: NDArray[np.int64]
    quality: NDArray[np.float64]
    wrong_confidence: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """The figures that a metric computes.

    Attributes:
        headline: Figures of the whole data set by name, the most important first.
        per_class: One row for every evaluated class: `class_id`, `class_name`, and its figures (NaN where undefined).
        details: Curves, confusion matrix and so on, JSON-able; each metric documents its own.
        ranking: Of the images.
        protocol: Settings that the figures depend on, by name, to stand beside them.
    """

    headline: Mapping[str, Figure]
    per_class: Sequence[Mapping[str, Any]]
    details: Mapping[str, Any]
    ranking: Ranking
    protocol: Mapping[str, Any]


def bootstrap_protocol(replicates: int, seed: int, **more: int) -> dict[str, Any]:
    """Settings of the confidence intervals, for `Measured.protocol`.

    Args:
        replicates: Number of bootstrap replicates.
        seed: Of the bootstrap.
        more: Further settings.
    """
    interval = "percentiles of the replicates, centred on the figure"
    drawn = {"over": "images", "replicates": replicates, **more, "seed": seed, "level": 0.95, "interval": interval}
    return {"bootstrap": drawn}


class Metric(Protocol):
    """A metric of one kind of predictions."""

    def update(self, records: Sequence[Record]) -> MetricState:
        """Reduces the records of one chunk, in the order of their indices, to metric state."""
        ...

    def compute(self, chunks: Sequence[MetricState]) -> Measured:
        """Computes the figures from the states of all chunks, in order; there may be none, and chunks without
        images."""
        ...
