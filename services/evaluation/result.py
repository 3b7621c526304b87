"""`result.json`: the figures of a run, and everything that they depend on."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from models.datasets.samples import LabelProblem
from models.sources.text_documents import DocumentError, read_json
from services.evaluation.scoring import Measured

FORMAT: Final = 1
SHOWN: Final = 100
"""The most wrong labels and failed images that a result lists; it counts all of them."""

_PACKAGES: Final = ("tapetum", "numpy", "torch", "ray", "hotcoco", "scikit-learn")


class ResultError(ValueError):
    """A file that is not the result of a run; the message is one line for a person."""


def describe_measured(measured: Measured) -> dict[str, Any]:
    """The figures as JSON; NaN becomes null."""
    return {
        "headline": {
            name: {"value": _number(figure.value), "low": _number(figure.low), "high": _number(figure.high)}
            for name, figure in measured.headline.items()
        },
        "per_class": without_nan(list(measured.per_class)),
        "details": without_nan(dict(measured.details)),
        "protocol": without_nan(dict(measured.protocol)),
    }


def describe_problems(problems: Sequence[LabelProblem]) -> dict[str, Any]:
    """The number of wrong labels, and the first of them."""
    return {
        "count": len(problems),
        "by_kind": dict(Counter(problem.kind for problem in problems).most_common()),
        "shown": [str(problem) for problem in problems[:SHOWN]],
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the figures depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def read_result(path: Path) -> dict[str, Any]:
    """Reads the result of a finished run.

    Args:
        path: Its folder, or the file.

    Raises:
        ResultError: there is none, or the file is not one.
    """
    file = path / "result.json" if path.is_dir() else path
    try:
        document = read_json(file)
    except DocumentError as error:
        raise ResultError(str(error)) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT or "headline" not in document:
        raise ResultError(f"{file}: not the result of an evaluation")
    return document  # pyright: ignore[reportUnknownVariableType]


def value_of(result: Mapping[str, Any], name: str) -> float:
    """One headline figure; NaN where it is undefined.

    Raises:
        KeyError: there is no such figure.
    """
    value = result["headline"][name]["value"]
    return math.nan if value is None else float(value)


def without_nan(value: Any) -> Any:
    """Replaces NaN and infinity with None, for JSON."""
    if isinstance(value, Mapping):
        return {name: without_nan(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
