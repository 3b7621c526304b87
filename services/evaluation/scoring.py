"""What the loop knows of metrics: records go in, arrays come out, and all arrays together make figures.

A metric has two halves. `score` runs in the workers and boils the records of a part down to a few arrays; `finish`
runs once, over the arrays of all parts, and needs no image and no prediction any more. So memory does not grow with
pixels, and a part that was scored never has to be scored again.
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
"""What a metric keeps of a part: arrays by name, without Python objects, as `numpy.savez` writes them."""


@dataclass(frozen=True, eq=False)
class Record:
    """One image, what is known of it, and what the model said.

    Attributes:
        index: Of the image in its data set.
        image_id: As the data set numbers it.
        name: File name.
        size: (height, width) of the upright image in pixels.
        target: In the model's class ids; objects and classes that the model does not know are left out.
        answer: As `services.answers.wire.describe_prediction` writes it: what every client gets.
    """

    index: int
    image_id: int
    name: str
    size: tuple[int, int]
    target: Target
    answer: Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        value: NaN where there is nothing to measure it on; never 0 or -1 for that.
        low: Lower end of the 95 % interval by bootstrap over images; NaN where `value` is.
        high: Upper end.
    """

    value: float
    low: float = math.nan
    high: float = math.nan

    @classmethod
    def of(cls, value: float, replicates: NDArray[np.float64]) -> Figure:
        """Takes (B,) the same figure of every draw of the images: see `centred_interval`."""
        return cls(value, *centred_interval(value, replicates))


@dataclass(frozen=True, eq=False)
class Ranking:
    """How well every image was answered, for choosing the pictures of a report.

    Attributes:
        indices: (N,) int64, of the images in their data set, ascending.
        quality: (N,) float64, 0 to 1, what the best and the worst are told by; NaN where nothing can be said.
        wrong_confidence: (N,) float64, 0 to 1, the score of the most confident mistake; NaN where there is none.
    """

    indices: NDArray[np.int64]
    quality: NDArray[np.float64]
    wrong_confidence: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """All that was measured.

    Attributes:
        headline: Figures of the whole data set by name, the most important first.
        per_class: One row for every class that was measured: `class_id`, `class_name`, and its numbers (NaN where
            there is nothing to measure).
        details: Curves, confusion and so on, as JSON has it; each metric tells which.
        ranking: Of the images.
        protocol: Settings that the figures depend on, by name, to stand beside them.
    """

    headline: Mapping[str, Figure]
    per_class: Sequence[Mapping[str, Any]]
    details: Mapping[str, Any]
    ranking: Ranking
    protocol: Mapping[str, Any]


def bootstrap_protocol(replicates: int, seed: int, **more: int) -> dict[str, Any]:
    """How the intervals came about, for `Measured.protocol`.

    Args:
        replicates: How many draws of the images.
        seed: Of the draws.
        more: What else is to be told of them.
    """
    interval = "percentiles of the replicates, centred on the figure"
    drawn = {"over": "images", "replicates": replicates, **more, "seed": seed, "level": 0.95, "interval": interval}
    return {"bootstrap": drawn}


class Metric(Protocol):
    """Measures one kind of answers."""

    def update(self, records: Sequence[Record]) -> MetricState:
        """Boils the records of one part down; its own part only, in the order of their indices."""
        ...

    def compute(self, parts: Sequence[MetricState]) -> Measured:
        """Figures over all parts, in the order of their indices; there may be none, and parts without images."""
        ...
