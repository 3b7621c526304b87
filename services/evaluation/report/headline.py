"""The headline figures of a report, with confidence intervals and the baseline's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.evaluation.kinds import KINDS, KindEvaluation
from services.evaluation.numbers import finite, share
from services.evaluation.report.comparison import Change, Comparison
from services.evaluation.report.metric_labels import figure


@dataclass(frozen=True)
class Place:
    """Positions of a value and its interval on a line from 0 to 1, in percent.

    Attributes:
        at: The value.
        low: Lower end of the interval; equal to `high` where there is none.
        high: Upper end.
    """

    at: float
    low: float
    high: float


@dataclass(frozen=True)
class FigureView:
    """One formatted figure.

    Attributes:
        name: As the code and the gates have it.
        label: As a person has it.
        meaning: In a sentence.
        value: Three decimals, or a dash.
        interval: Both ends, or empty.
        place: On a line; None where there is no value.
        before: The baseline's place; None where there is nothing to compare.
        change: Against the baseline; None where there is nothing to compare.
    """

    name: str
    label: str
    meaning: str
    value: str
    interval: str
    place: Place | None
    before: Place | None
    change: Change | None


@dataclass(frozen=True)
class Headline:
    """All figures.

    Attributes:
        main: The main figure of this kind; None where it was not measured.
        leading: A few more.
        others: The rest, in the order in which they were measured.
    """

    main: FigureView | None
    leading: tuple[FigureView, ...]
    others: tuple[FigureView, ...]


def headline_of(result: Mapping[str, Any], comparison: Comparison | None) -> Headline:
    """Groups the figures of a `result.json` by importance."""
    kind = KINDS[result["model"]["kind"]]
    views = {name: _view(kind, name, one or {}, comparison) for name, one in result["headline"].items()}
    main = views.pop(kind.main, None)
    leading = [views.pop(name) for name in kind.leading if name in views]
    return Headline(main, tuple(leading), tuple(views.values()))


def _view(kind: KindEvaluation, name: str, one: Mapping[str, Any], comparison: Comparison | None) -> FigureView:
    words = figure(kind, name)
    low, high = finite(one.get("low")), finite(one.get("high"))
    interval = "" if low is None or high is None else f"{share(low)} to {share(high)}"
    change = None if comparison is None else comparison.change(name, one)
    before = None if change is None else _place(change.before, change.low, change.high)
    place = _place(finite(one.get("value")), low, high)
    return FigureView(name, words.label, words.meaning, share(one.get("value")), interval, place, before, change)


def _place(value: float | None, low: float | None, high: float | None) -> Place | None:
    if value is None:
        return None
    ends: Sequence[float] = (value, value if low is None else low, value if high is None else high)
    return Place(*(round(100 * min(max(end, 0.0), 1.0), 2) for end in ends))
