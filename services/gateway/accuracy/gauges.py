"""Gauges of accuracy and drift, computed at each scrape, so that series of replaced models disappear."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client.core import Metric

from services.accuracy.drift import Comparison
from services.gateway.accuracy.overview import READ_INTERVAL_S, AccuracyWatch, age_s
from services.gateway.serving.registry import Registry
from services.telemetry import (
    LIVE_ACCURACY,
    LIVE_ACCURACY_SAMPLES,
    MODEL_ACCURACY,
    MODEL_ACCURACY_AGE,
    MODEL_DRIFT,
    MODEL_DRIFT_BY_CHANCE,
    tell,
)

LABEL_CHARACTERS: Final = 100
"""The most characters of a data set's name; longer ones are truncated."""

Sample = tuple[Sequence[str], float]


def accuracy_gauges(registry: Registry, watch: AccuracyWatch) -> list[Metric]:
    """Gauges of the served models, from evaluations and feedback of the served weights only."""
    return [
        MODEL_ACCURACY.family(_known(_accuracy(registry, watch))),
        MODEL_ACCURACY_AGE.family(_known(_ages(registry, watch))),
        LIVE_ACCURACY.family(_known(_live(registry, watch))),
        LIVE_ACCURACY_SAMPLES.family(_known(_samples(registry, watch))),
        MODEL_DRIFT.family(_known(_drift(registry, watch, lambda comparison: comparison.index))),
        MODEL_DRIFT_BY_CHANCE.family(_known(_drift(registry, watch, lambda comparison: comparison.by_chance))),
    ]


async def keep_told(registry: Registry, watch: AccuracyWatch) -> None:
    """Write the gauges to a file for the node's own `/metrics` every few seconds, until cancelled."""
    while True:
        await asyncio.sleep(READ_INTERVAL_S)
        await asyncio.to_thread(tell, accuracy_gauges(registry, watch))


def _known(samples: Iterator[Sample]) -> Iterator[Sample]:
    """Drops NaN, and of samples with the same labels all but the first, as duplicates make a scrape fail."""
    seen: set[tuple[str, ...]] = set()
    for labels, value in samples:
        if math.isfinite(value) and tuple(labels) not in seen:
            seen.add(tuple(labels))
            yield labels, value


def _accuracy(registry: Registry, watch: AccuracyWatch) -> Iterator[Sample]:
    for model in registry.served():
        for run in watch.runs_of(model):
            for name, (value, _, _) in run.figures.items():
                yield (model.name, model.version, run.dataset[:LABEL_CHARACTERS], name), value


def _ages(registry: Registry, watch: AccuracyWatch) -> Iterator[Sample]:
    for model in registry.served():
        for run in watch.runs_of(model):
            yield (model.name, model.version, run.dataset[:LABEL_CHARACTERS]), age_s(run)


def _live(registry: Registry, watch: AccuracyWatch) -> Iterator[Sample]:
    for model in registry.served():
        if live := watch.live(model):
            for name, value in live.figures.items():
                yield (model.name, model.version, name), value


def _samples(registry: Registry, watch: AccuracyWatch) -> Iterator[Sample]:
    for model in registry.served():
        if live := watch.live(model):
            yield (model.name, model.version), float(len(live.given))


def _drift(registry: Registry, watch: AccuracyWatch, value: Callable[[Comparison], float]) -> Iterator[Sample]:
    for model in registry.served():
        if drift := watch.drift(model):
            for kind, comparison in drift.comparisons.items():
                yield (model.name, model.version, kind), value(comparison)
