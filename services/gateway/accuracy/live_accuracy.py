"""Live accuracy over a sliding window of feedback, with the metric names of an offline evaluation."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

import numpy as np
import orjson

from models.entries import Kind
from models.metrics.ratios import share
from models.metrics.semantic import Overlap, semantic_figures
from services.gateway.accuracy.feedback_metrics import Counts

FIGURES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "classification": ("top1",),
    "detection": ("precision", "recall", "mean_iou"),
    "instance": ("precision", "recall", "mean_iou"),
    "semantic": ("iou", "miou"),
}
"""Names of the figures of each kind."""

_SHARES: Final = {
    "top1": ("right", "answers"),
    "precision": ("matched", "found"),
    "recall": ("matched", "targets"),
    "mean_iou": ("overlap", "matched"),
}
"""Numerator and denominator of each figure of classes and objects."""

_COUNTS: Final = {
    kind: frozenset(count for figure in figures for count in _SHARES.get(figure, ()))
    for kind, figures in FIGURES.items()
}
"""Names of the counts from which figures are computed; those of regions are `_PIXELS`."""

_PIXELS: Final = re.compile(r"(both|target|found) \d{1,5}")
"""Names of the counts of regions: pixels of a class."""

_MOST_COUNTED: Final = 10**10
"""The most pixels or objects in one feedback; an entry with more is malformed."""


class Given(NamedTuple):
    """A feedback.

    Attributes:
        at_s: Unix time.
        counts: As `services.gateway.accuracy.feedback_metrics.judge` makes them.
    """

    at_s: float
    counts: Counts


@dataclass(frozen=True)
class Live:
    """Accuracy by feedback.

    Attributes:
        kind: Of the answers.
        given: The latest feedbacks, at least one, the newest first.
        totals: Their counts, added up.
    """

    kind: Kind
    given: Sequence[Given]
    totals: Counts

    @classmethod
    def of(cls, kind: Kind, given: Sequence[Given]) -> Live:
        """From the latest feedbacks, at least one, the newest first."""
        totals: Counter[str] = Counter()
        for one in given:
            totals.update(cast(Mapping[str, int], one.counts))
        return cls(kind, given, totals)

    def after(self, newest: Given, size: int) -> Live:
        """With one more, and at most `size` in all."""
        totals = Counter(cast(Mapping[str, int], self.totals))
        totals.update(cast(Mapping[str, int], newest.counts))
        for one in self.given[size - 1 :]:
            totals.subtract(cast(Mapping[str, int], one.counts))
        return Live(self.kind, [newest, *self.given[: size - 1]], totals)

    @property
    def figures(self) -> dict[str, float]:
        """Figures over all feedbacks together, weighted by their objects (micro average)."""
        return figures_of(self.kind, self.totals)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "samples": len(self.given),
            "since": iso_time(self.given[-1].at_s),
            "figures": {name: or_none(value) for name, value in self.figures.items()},
        }


def figures_of(kind: Kind, counts: Counts) -> dict[str, float]:
    """Computes the figures of one or several predictions from their counts.

    Args:
        kind: Of the predictions.
        counts: From `services.gateway.accuracy.feedback_metrics.judge`, summed over the predictions.

    Returns:
        Shares, 0 to 1, by the names in `FIGURES`; NaN where undefined:
        `top1`: predictions whose best class is the ground truth; `precision`: predicted objects that match a target
        (class and IoU of 0.5), at the score threshold of each request; `recall`: targets that are matched; `mean_iou`:
        of the matches; `miou` and `iou`: as `models.metrics.semantic.semantic_figures`.
    """
    if kind == "semantic":
        figures = semantic_figures(_overlap(counts))
        return {name: float(figures[name]) for name in FIGURES[kind]}
    parts = np.array([[counts.get(count, 0) for count in _SHARES[name]] for name in FIGURES[kind]], np.float64)
    return dict(zip(FIGURES[kind], share(parts[:, 0], parts[:, 1]).tolist(), strict=True))


def _overlap(counts: Counts) -> Overlap:
    """Pixels of the background, and then of every other counted class."""
    others = sorted({name.partition(" ")[2] for name in counts} - {"0"})
    table = [[counts.get(f"{part} {one}", 0) for one in ("0", *others)] for part in ("both", "target", "found")]
    both, target, prediction = np.array(table, np.float64)
    return Overlap(both, target, prediction)


def entry_of(given: Given) -> bytes:
    """Serialises a feedback for a window; `given_of` is the inverse."""
    return orjson.dumps({"at": given.at_s, "counts": given.counts})


def given_of(entries: Iterable[bytes], kind: Kind) -> list[Given]:
    """Parses the feedbacks of a window; malformed entries are skipped."""
    given: list[Given] = []
    for entry in entries:
        try:
            document = orjson.loads(entry)
            at_s, counts = float(document["at"]), cast(Mapping[str, Any], document["counts"])
            iso_time(at_s)
            if all(_is_count(kind, name, count) for name, count in counts.items()):
                given.append(Given(at_s, counts))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError):
            continue
    return given


def _is_count(kind: Kind, name: str, count: Any) -> bool:
    """Whether `services.gateway.accuracy.feedback_metrics.judge` may have written a count."""
    is_known = bool(_PIXELS.fullmatch(name)) if kind == "semantic" else name in _COUNTS[kind]
    return is_known and type(count) in (int, float) and 0 <= count <= _MOST_COUNTED


def iso_time(unix_s: float) -> str:
    """Formats a time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def or_none(value: float) -> float | None:
    """A figure for JSON, which has no NaN: None instead."""
    return round(value, 6) if math.isfinite(value) else None
