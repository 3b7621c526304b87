"""Live accuracy over a sliding window of feedback, with the metric names of an offline evaluation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, cast

import orjson

from models.entries import Kind
from services.gateway.accuracy.feedback_kinds import KINDS
from services.gateway.accuracy.feedback_metrics import Counts

_MOST_COUNTED: Final = 10**10
"""The most pixels or objects in one feedback; an entry with more is malformed."""


class Given(NamedTuple):
    """A feedback.

    Attributes:
        at_s: Unix time.
        counts: As `FeedbackKind.judge` makes them.
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
        return KINDS[self.kind].compute(self.totals)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "samples": len(self.given),
            "since": iso_time(self.given[-1].at_s),
            "figures": {name: or_none(value) for name, value in self.figures.items()},
        }


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
    """Whether feedback on answers of a kind may have written a count."""
    return KINDS[kind].is_count(name) and type(count) in (int, float) and 0 <= count <= _MOST_COUNTED


def iso_time(unix_s: float) -> str:
    """Formats a time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def or_none(value: float) -> float | None:
    """A figure for JSON, which has no NaN: None instead."""
    return round(value, 6) if math.isfinite(value) else None
