"""The gate of a rollout: the recorded evaluations of the new version against those of its predecessor.

On every data set that both were evaluated on, the most important figure of the new version must be at or above the
lower end of the 95 % interval of its predecessor. Without a data set in common the gate is closed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The most important figure of a recorded evaluation.

    Attributes:
        dataset: Name of the data.
        dataset_digest: Changes with the data.
        kind: Kind of predictions.
        images: Number of images.
        figure: Name of the figure.
        value: A share from 0 to 1; NaN where it is not known.
        low: Lower end of its 95 % interval; NaN where it is not known.
    """

    dataset: str
    dataset_digest: str
    kind: str
    images: int
    figure: str
    value: float
    low: float

    @classmethod
    def from_dict(cls, run: Mapping[str, Any]) -> Evaluated:
        """From a run in `offline` of `GET /v1/accuracy`.

        Raises:
            ValueError: a member is missing.
        """
        try:
            name, figure = next(iter(run["figures"].items()))
            value, low = (math.nan if figure[end] is None else float(figure[end]) for end in ("value", "low"))
            return cls(run["dataset"], run["dataset_digest"], run["kind"], int(run["images"]), name, value, low)
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            raise ValueError(f"no recorded evaluation: {error!r}") from None

    @property
    def comparable(self) -> tuple[str, str, int, str]:
        """Equal for evaluations that can be compared."""
        return self.dataset_digest, self.kind, self.images, self.figure


class Verdict(NamedTuple):
    """The result of the gate.

    Attributes:
        passes: Whether the version may be rolled out.
        lines: One for each comparison, or why there is none.
    """

    passes: bool
    lines: tuple[str, ...]


def check_gate(old: Sequence[Evaluated], new: Sequence[Evaluated]) -> Verdict:
    """Compares the evaluations of two versions.

    Args:
        old: Those of the predecessor, the newest first.
        new: Those of the new version, the newest first.
    """
    if not new:
        return Verdict(False, ("the version has no recorded evaluation",))
    before = _newest(old)
    pairs = [(before[key], run) for key, run in _newest(new).items() if key in before]
    if not pairs:
        names = ", ".join(sorted({run.dataset for run in old})) or "none"
        return Verdict(False, (f"no data set on which both versions were evaluated; the predecessor's: {names}",))
    passes = [now.value >= earlier.low for earlier, now in pairs]
    return Verdict(all(passes), tuple(_line(*pair, at_least) for pair, at_least in zip(pairs, passes, strict=True)))


def _newest(runs: Sequence[Evaluated]) -> dict[tuple[str, str, int, str], Evaluated]:
    return {run.comparable: run for run in reversed(runs)}


def _line(old: Evaluated, new: Evaluated, passes: bool) -> str:
    place = "at or above" if passes else "below"
    return (
        f"{new.figure} on {new.dataset} is {new.value:.4f}, {place} {old.low:.4f}, the lower end of the predecessor's "
        f"95 % interval (its value is {old.value:.4f})"
    )
