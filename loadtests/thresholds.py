"""What a Locust run must keep to: the 95th percentile of each kind of request, and the share of errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

TASKS: Final = ("classify", "detect", "segment")
KINDS: Final = ("repeated", "new", "several", "drawn", "bad", "feedback")


class ThresholdsError(Exception):
    """A file of thresholds that cannot be used; the message says why."""


@dataclass(frozen=True)
class Thresholds:
    """Bounds of a run.

    Attributes:
        error_share: Largest share of requests that failed.
        p95_ms: Highest 95th percentile by (task, kind).
    """

    error_share: float
    p95_ms: Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Seen:
    """What a run saw of one kind of request.

    Attributes:
        requests: How many there were.
        failures: How many of them failed.
        p95_ms: 95th percentile of their times.
    """

    requests: int
    failures: int
    p95_ms: float


def read_thresholds(path: Path) -> Thresholds:
    """The thresholds of a YAML file, which has one for every kind of request of every task.

    Raises:
        ThresholdsError: the file cannot be read, or a bound is missing, unknown or no positive number.
    """
    try:
        document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ThresholdsError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    _check_names(path, "", document, ("error_share", "p95_ms"))
    _check_names(path, "p95_ms.", document["p95_ms"], TASKS)
    bounds: dict[tuple[str, str], float] = {}
    for task in TASKS:
        _check_names(path, f"p95_ms.{task}.", document["p95_ms"][task], KINDS)
        for kind in KINDS:
            bounds[task, kind] = _number(path, f"p95_ms.{task}.{kind}", document["p95_ms"][task][kind])
    return Thresholds(_number(path, "error_share", document["error_share"]), bounds)


def broken(thresholds: Thresholds, seen: Mapping[tuple[str, str], Seen]) -> list[str]:
    """One line for each bound that a run broke; none where it kept to all.

    Args:
        thresholds: The bounds.
        seen: What there was, by (task, kind); kinds without a bound count towards the share of errors only.
    """
    requests = sum(one.requests for one in seen.values())
    failures = sum(one.failures for one in seen.values())
    if not requests:
        return ["no request was made"]
    lines = [
        f"{task} {kind}: p95 {seen[task, kind].p95_ms:.0f} ms, above {bound:g} ms"
        for (task, kind), bound in thresholds.p95_ms.items()
        if (task, kind) in seen and seen[task, kind].p95_ms > bound
    ]
    if failures > thresholds.error_share * requests:
        lines.append(f"{failures} of {requests} requests failed, more than {thresholds.error_share:.2%}")
    return lines


def _check_names(path: Path, place: str, found: Any, wanted: Iterable[str]) -> None:
    if not isinstance(found, dict):
        raise ThresholdsError(f"{path}: {place.rstrip('.') or 'the file'} must be a mapping of {', '.join(wanted)}")
    names = {str(name) for name in found}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    for name in wanted:
        if name not in names:
            raise ThresholdsError(f"{path}: {place}{name} is missing")
    for name in sorted(names - set(wanted)):
        raise ThresholdsError(f"{path}: {place}{name} is unknown")


def _number(path: Path, place: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ThresholdsError(f"{path}: {place} must be a number that is not negative, not {value!r}")
    return float(value)
