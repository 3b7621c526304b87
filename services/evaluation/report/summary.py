"""Summarises the figures in a few sentences."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.evaluation.kinds import KINDS
from services.evaluation.numbers import count, finite, share


def summary_of(result: Mapping[str, Any]) -> tuple[str, ...]:
    """Makes up to four sentences from a `result.json`; figures that were not measured are skipped."""
    kind = KINDS[result["model"]["kind"]]
    return (*kind.summary(result), *_extremes(result, kind.main_column), *_failures(result))


def _extremes(result: Mapping[str, Any], column: str) -> list[str]:
    """The strongest and the weakest class, where there are three or more, and no other is as strong or as weak."""
    rows = [(value, row["class_name"]) for row in result["per_class"] if (value := finite(row.get(column))) is not None]
    if len(rows) < 3:
        return []
    rows.sort()
    (low, weakest), (next_low, _), (next_high, _), (high, strongest) = rows[0], rows[1], rows[-2], rows[-1]
    ends = [f"strongest class: {strongest} ({share(high)})"] if share(high) != share(next_high) else []
    ends += [f"weakest class: {weakest} ({share(low)})"] if share(low) != share(next_low) else []
    return [f"{words[:1].upper()}{words[1:]}." for words in ends]


def _failures(result: Mapping[str, Any]) -> list[str]:
    failed = (result.get("failed") or {}).get("count") or 0
    return [f"{count(failed)} {'image' if failed == 1 else 'images'} could not be answered."] if failed else []
