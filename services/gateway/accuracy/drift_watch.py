"""What models answered of late, boiled down to one class and one score an image, to be compared with their evaluation.

Counted is every image that went through a network, once for those who share its answer, and asked in such a way that
the best finding is the same as with the model's own defaults. What comes from the cache was counted when it was new.
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
"""A class and one of ten bins, as `entry_of` writes them."""


class DriftWatch:
    """Gathers what is to be counted, until somebody takes it.

    Args:
        size: The most answers of a model that are kept, the latest.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._gathered: dict[ModelKey, deque[bytes]] = {}

    def see(self, model: ServedModel, parameters: Mapping[str, Any], summary: Summary | None) -> None:
        """Count an answer, where it tells what the model's own defaults would have given.

        Args:
            model: Who answered.
            parameters: What it was told.
            summary: Of the answer.
        """
        if summary is None or not math.isfinite(summary.score) or parameters.get("class_ids") is not None:
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
        """All that was gathered since the last time, the oldest first; it is forgotten here."""
        taken, self._gathered = self._gathered, {}
        return taken

    def give_back(self, key: ModelKey, entries: Iterable[bytes]) -> None:
        """Keep what was taken and could not be put anywhere."""
        since = self._gathered.get(key, ())
        self._gathered[key] = deque([*entries, *since], maxlen=self._size)


def entry_of(summary: Summary) -> bytes:
    """An answer as a window keeps it, in a few bytes: its class, nothing where nothing was found, and its bin."""
    return f"{'' if summary.class_id is None else summary.class_id}:{score_bin(summary.score)}".encode()


def distribution_of(entries: Iterable[bytes]) -> Distribution:
    """What the entries of a window count together; those that are malformed are passed over."""
    distribution = Distribution()
    for entry in entries:
        if found := _ENTRY.fullmatch(entry):
            class_id, bin_index = found.groups()
            distribution.count(int(class_id) if class_id else None, int(bin_index))
    return distribution


@dataclass(frozen=True)
class Drift:
    """How far answers have shifted.

    Attributes:
        images: Answers, the latest.
        run: The evaluation that they are compared with; None where there is none to compare with.
        comparisons: By what was compared; empty where there are too few images.
    """

    images: int
    run: RecordedRun | None
    comparisons: Mapping[str, Comparison]

    @classmethod
    def of(cls, entries: Iterable[bytes], runs: Iterable[RecordedRun]) -> Drift:
        """Of a window's entries, against the newest run that counted its answers."""
        observed = distribution_of(entries)
        run = next((one for one in runs if one.reference is not None), None)
        if run is None or run.reference is None:
            return cls(observed.images, None, {})
        return cls(observed.images, run, compare(Distribution.from_dict(run.reference), observed))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "images": self.images,
            "dataset": self.run and self.run.dataset,
            "reference_images": self.run and self.run.images,
            "population_stability_index": {kind: round(one.index, 6) for kind, one in self.comparisons.items()},
            "expected_by_chance": {kind: round(one.by_chance, 6) for kind, one in self.comparisons.items()},
        }
