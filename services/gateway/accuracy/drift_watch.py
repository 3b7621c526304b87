"""Drift detection: compares the class and score distribution of recent predictions with that of the evaluation.

Each image that runs through a network is counted, once for all requests that share the prediction, if its parameters
leave the best prediction the same as the model's defaults. Cache hits were counted when they were computed.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.accuracy.drift import NOTHING, Comparison, Distribution, Summary, compare, score_bin
from services.accuracy.store import ModelKey, RecordedRun
from services.gateway.serving.served_model import ServedModel

_ENTRY: Final = re.compile(rb"(\d{0,9}):(\d)")
"""A class and one of ten bins, in the format of `entry_of`."""


class DriftWatch:
    """Buffers the entries of recent predictions until they are taken.

    Args:
        size: The most entries of a model that are buffered, the latest.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._gathered: dict[ModelKey, deque[bytes]] = {}

    def see(self, model: ServedModel, parameters: Mapping[str, Any], summary: Summary | None) -> None:
        """Count a prediction, where its parameters leave the best prediction the same as the model's defaults.

        Args:
            model: The model version.
            parameters: Parameters of the request.
            summary: Of the prediction.
        """
        if summary is None or not math.isfinite(summary.score) or parameters.get("class_ids") is not None:
            return
        if parameters.get("augment") or parameters.get("proposals") is not None:  # which change scores
            return
        threshold = model.score_threshold
        if threshold is not None:
            if parameters["score_threshold"] > threshold:
                return
            if summary.score < threshold:
                summary = NOTHING
        gathered = self._gathered.get(model.key)
        if gathered is None:
            gathered = self._gathered[model.key] = deque(maxlen=self._size)
        gathered.append(entry_of(summary))

    def take(self) -> Mapping[ModelKey, deque[bytes]]:
        """Removes and returns all buffered entries, the oldest first."""
        taken, self._gathered = self._gathered, {}
        return taken

    def give_back(self, key: ModelKey, entries: Iterable[bytes]) -> None:
        """Put back entries that could not be stored."""
        since = self._gathered.get(key, ())
        self._gathered[key] = deque([*entries, *since], maxlen=self._size)


def entry_of(summary: Summary) -> bytes:
    """The entry of a prediction in a window, in a few bytes: its class, empty without predictions, and its bin."""
    return f"{'' if summary.class_id is None else summary.class_id}:{score_bin(summary.score)}".encode()


def distribution_of(entries: Iterable[bytes]) -> Distribution:
    """The distribution of the entries of a window; malformed ones are skipped."""
    distribution = Distribution()
    for entry in entries:
        if found := _ENTRY.fullmatch(entry):
            class_id, bin_index = found.groups()
            distribution.count(int(class_id) if class_id else None, int(bin_index))
    return distribution


@dataclass(frozen=True)
class Drift:
    """Drift of recent predictions against an evaluation.

    Attributes:
        images: Number of recent predictions.
        run: The evaluation that they are compared with; None without one.
        comparisons: By quantity (`score`, `class`); empty where there are too few images.
    """

    images: int
    run: RecordedRun | None
    comparisons: Mapping[str, Comparison]

    @classmethod
    def of(cls, entries: Iterable[bytes], runs: Iterable[RecordedRun]) -> Drift:
        """Compares a window's entries with the newest run that has a reference distribution."""
        observed = distribution_of(entries)
        run = next((one for one in runs if one.reference is not None), None)
        if run is None or run.reference is None:
            return cls(observed.images, None, {})
        return cls(observed.images, run, compare(Distribution.from_dict(run.reference), observed))

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-able values."""
        return {
            "images": self.images,
            "dataset": self.run and self.run.dataset,
            "reference_images": self.run and self.run.images,
            "population_stability_index": {kind: round(one.index, 6) for kind, one in self.comparisons.items()},
            "expected_by_chance": {kind: round(one.by_chance, 6) for kind, one in self.comparisons.items()},
        }
