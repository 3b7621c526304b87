"""Compares a run with a baseline, and checks whether the two are comparable."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from services.evaluation.gates import LOWER_IS_BETTER
from services.evaluation.numbers import count, finite, moment, plain, signed
from services.evaluation.report.metric_labels import PROTOCOL, in_words

Verdict = Literal["better", "worse", "same"]


@dataclass(frozen=True)
class Change:
    """The difference of a figure from the baseline.

    Attributes:
        before: The baseline's value.
        low: Lower end of its interval; None where it has none.
        high: Upper end.
        difference: This value less the baseline's.
        overlap: Whether the two intervals overlap; None where one of them is not known.
    """

    before: float
    low: float | None
    high: float | None
    difference: float
    overlap: bool | None
    lower_is_better: bool = False

    @property
    def text(self) -> str:
        """The difference with its sign."""
        return signed(self.difference)

    @property
    def arrow(self) -> str:
        """Up, down, or neither where the written difference is nothing."""
        if abs(self.difference) < 0.0005:
            return "="
        return "▲" if self.difference > 0 else "▼"

    @property
    def verdict(self) -> Verdict:
        """Better, worse or `same`, where the rounded difference is 0."""
        if abs(self.difference) < 0.0005:
            return "same"
        return "better" if (self.difference > 0) != self.lower_is_better else "worse"

    @property
    def in_words(self) -> str:
        """Whether the confidence intervals overlap, in words."""
        if self.overlap is None:
            return ""
        return "intervals overlap" if self.overlap else "intervals apart"


@dataclass(frozen=True)
class Comparison:
    """A run and its baseline.

    Attributes:
        baseline: The baseline's `result.json`.
        title: Which run it is.
        obstacles: Why the two cannot be compared, in sentences; none where they can.
        remarks: What else differs, in sentences.
    """

    baseline: Mapping[str, Any]
    title: str
    obstacles: tuple[str, ...]
    remarks: tuple[str, ...]

    @classmethod
    def of(cls, result: Mapping[str, Any], baseline: Mapping[str, Any]) -> Comparison:
        """Compares what was measured, and how.

        Args:
            result: This run's `result.json`.
            baseline: The other's.
        """
        model, data = baseline["model"], baseline["data"]
        started = moment(baseline.get("time", {}).get("started_at"))
        title = f"{model['name']} {model['version']} on {data['name']}, {started}"
        return cls(baseline, title, tuple(_obstacles(result, baseline)), tuple(_remarks(result, baseline)))

    @property
    def possible(self) -> bool:
        """Whether differences mean anything."""
        return not self.obstacles

    def change(self, name: str, figure: Mapping[str, Any]) -> Change | None:
        """The difference of a headline figure; None where there is nothing to compare."""
        if not self.possible:
            return None
        return change(figure, self.baseline["headline"].get(name) or {}, name in LOWER_IS_BETTER)

    def class_change(self, class_id: Any, column: str, value: Any) -> Change | None:
        """The difference of a class's number; None where there is nothing to compare."""
        if not self.possible:
            return None
        row = next((one for one in self.baseline["per_class"] if one["class_id"] == class_id), {})
        return change({"value": value}, {"value": row.get(column)}, False)


def change(now: Mapping[str, Any], before: Mapping[str, Any], lower_is_better: bool) -> Change | None:
    """The difference of two figures `{"value", "low", "high"}`.

    Returns:
        None where one of the values is not there. Intervals that touch overlap.
    """
    value, earlier = finite(now.get("value")), finite(before.get("value"))
    if value is None or earlier is None:
        return None
    low, high = finite(now.get("low")), finite(now.get("high"))
    low_before, high_before = finite(before.get("low")), finite(before.get("high"))
    overlap = None
    if low is not None and high is not None and low_before is not None and high_before is not None:
        overlap = low <= high_before and low_before <= high
    return Change(earlier, low_before, high_before, value - earlier, overlap, lower_is_better)


def _obstacles(result: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[str]:
    now, before = result["data"], baseline["data"]
    if result["model"]["kind"] != baseline["model"]["kind"]:
        return [f"It is of another kind: {baseline['model']['kind']}, and not {result['model']['kind']}."]
    found: list[str] = []
    if now.get("digest") != before.get("digest"):
        found.append(
            f"It was measured on other data: digest {plain(before.get('digest'))}, and not {plain(now.get('digest'))}."
        )
    if now.get("images") != before.get("images"):
        found.append(f"It was measured on {count(before.get('images'))} images, and not {count(now.get('images'))}.")
    measured = [one.get("classes", {}).get("measured") for one in (now, before)]
    if measured[0] != measured[1]:
        found.append(f"It was measured on {count(measured[1])} classes, and not {count(measured[0])}.")
    return found


def _remarks(result: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[str]:
    now, before = result.get("protocol") or {}, baseline.get("protocol") or {}
    remarks = [
        f"{in_words(PROTOCOL.get(name, name))}: {plain(before.get(name))} then, {plain(now.get(name))} now."
        for name in {**now, **before}
        if now.get(name) != before.get(name)
    ]
    if result.get("through") != baseline.get("through"):
        remarks.append(f"Measured through the {baseline.get('through')} then, the {result.get('through')} now.")
    return remarks
