"""Release gates: lower bounds on the metrics of a run, and limits of regression against a baseline."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.evaluation.result import value_of

LOWER_IS_BETTER: Final = frozenset({"ece"})
_CONDITION: Final = re.compile(r"(?P<name>[a-z][a-z0-9_]*)=(?P<value>[0-9.eE+-]+)")


class GateError(ValueError):
    """An invalid condition; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound on one figure.

    Attributes:
        name: Of the figure; None for the most important one.
        value: The bound.
    """

    name: str | None
    value: float


def read_condition(text: str, *, name_is_needed: bool) -> Condition:
    """From `NAME=VALUE`, a bound on a share, or where the name may be left out, `VALUE`, a bound on points.

    Raises:
        GateError: it is neither, or no such bound.
    """
    match = _CONDITION.fullmatch(text.strip())
    number = match["value"] if match else text
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or (match is None and name_is_needed):
        example = "map_50=0.6" if name_is_needed else "0.5 or map_50=0.5"
        raise GateError(f"{text!r} is no condition such as {example}")
    if value > (1 if name_is_needed else 100):
        range_of = "figures are shares, from 0 to 1" if name_is_needed else "points are hundredths, from 0 to 100"
        raise GateError(f"{text!r}: {range_of}")
    return Condition(match["name"] if match else None, value)


def check_figures(result: Mapping[str, Any], conditions: Sequence[Condition]) -> list[str]:
    """Lists the figures that are worse than their bound; a figure that is NaN is.

    Args:
        result: As `result.json` has it.
        conditions: The least that each figure must be; of an error, such as `ece`, the most.

    Returns:
        One line for each condition that does not hold.

    Raises:
        GateError: there is no such figure.
    """
    failures: list[str] = []
    for condition in conditions:
        name = _name(result, condition)
        value = value_of(result, name)
        error = name in LOWER_IS_BETTER
        holds = value <= condition.value if error else value >= condition.value
        if not holds:
            failures.append(f"{name} is {_shown(value)}, {'above' if error else 'under'} {condition.value:g}")
    return failures


def check_against(result: Mapping[str, Any], baseline: Mapping[str, Any], conditions: Sequence[Condition]) -> list[str]:
    """Lists the figures that have regressed by more than allowed.

    Args:
        result: As `result.json` has it.
        baseline: That of an earlier run.
        conditions: The most points (hundredths) that each figure may be worse by.

    Returns:
        One line for each condition that does not hold.

    Raises:
        GateError: there is no such figure in one of them, or they were measured on other images.
    """
    check_comparable(result, baseline)
    failures: list[str] = []
    for condition in conditions:
        name = _name(result, condition)
        before, now = value_of(baseline, _name(baseline, Condition(name, 0))), value_of(result, name)
        drop = (now - before if name in LOWER_IS_BETTER else before - now) * 100
        if math.isnan(before):
            continue  # there was nothing to fall from
        if not drop <= condition.value + 1e-9:
            failures.append(
                f"{name} went from {_shown(before)} to {_shown(now)}, {drop:.2f} points worse, and {condition.value:g} "
                "are allowed"
            )
    return failures


def check_comparable(result: Mapping[str, Any], baseline: Mapping[str, Any]) -> None:
    """Raises unless two runs are comparable.

    Raises:
        GateError: they were measured on other images or labels, or their models are of different kinds.
    """
    now, before = result["model"]["kind"], baseline["model"]["kind"]
    if now != before:
        raise GateError(f"the baseline is of a model for {before}, not {now}: there is no comparing")
    for member, what in (("images", "{} images, not {}"), ("digest", "other images or labels (digest {}, not {})")):
        now, before = result["data"][member], baseline["data"][member]
        if now != before:
            raise GateError(f"the baseline was measured on {what.format(before, now)}: there is no comparing")


def check_names(names: Sequence[str], known: Sequence[str]) -> None:
    """Raises unless all named figures exist.

    Raises:
        GateError: there is none of one of the names.
    """
    for name in names:
        if name not in known:
            raise GateError(f"there is no figure {name!r}; there are {', '.join(known)}")


def _name(result: Mapping[str, Any], condition: Condition) -> str:
    known = list(result["headline"])
    if condition.name is None:
        return known[0]
    check_names([condition.name], known)
    return condition.name


def _shown(value: float) -> str:
    return "not known" if math.isnan(value) else f"{value:.4f}"
