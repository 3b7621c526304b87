"""The record of a finished evaluation: its figures, and the reference distribution of drift detection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from services.accuracy.drift import Distribution

MAX_NAME: Final = 200
"""Characters of the name of a model, a data set or a figure, and of a version or a digest."""

MAX_FIGURES: Final = 100
"""Figures of a run, each of which is a series of metrics."""

_LAST_TIME_S: Final = datetime.max.replace(tzinfo=UTC).timestamp() - 1
_MOST_IMAGES: Final = 10**12


class ModelKey(NamedTuple):
    """Name, version and weights of a model: figures are valid for these only."""

    name: str
    version: str
    weights_digest: str


@dataclass(frozen=True)
class RecordedRun:
    """The record of a finished evaluation.

    Attributes:
        model: Name in the catalog.
        version: Of the model.
        weights_digest: Of its weights.
        kind: `classification`, `detection`, `instance` or `semantic`.
        dataset: Name of the data, for people and as a metric label.
        dataset_digest: Changes with the data.
        through: `adapter` or `gateway`.
        images: Number of images.
        finished_at_s: Unix time.
        figures: (value, low, high) of every figure: a share, and the ends of its 95 % interval; NaN where not known.
        protocol: Settings that the figures depend on, JSON-able.
        reference: Distribution of scores and classes; None where it was not counted.
        report: Location of the report, for people.

    Raises:
        ValueError: on construction, where a name is empty or too long, a number is none that it can be, or figures are
            too many.
    """

    model: str
    version: str
    weights_digest: str
    kind: str
    dataset: str
    dataset_digest: str
    through: str
    images: int
    finished_at_s: float
    figures: Mapping[str, tuple[float, float, float]]
    protocol: Mapping[str, Any]
    reference: Mapping[str, Any] | None = None
    report: str | None = None

    def __post_init__(self) -> None:
        for name in (self.model, self.dataset, *self.figures):
            if not 0 < len(name) <= MAX_NAME:
                raise ValueError(f"a name has from 1 to {MAX_NAME} characters, not {len(name)}: {name[:50]!r}")
        if max(map(len, (self.version, self.weights_digest, self.dataset_digest, self.kind, self.through))) > MAX_NAME:
            raise ValueError(f"version, digests, kind and through have at most {MAX_NAME} characters each")
        if not 0 <= self.finished_at_s <= _LAST_TIME_S:
            raise ValueError(f"finished_at_s must be a time, not {self.finished_at_s}")
        if not 0 <= self.images <= _MOST_IMAGES:
            raise ValueError(f"images must be a count, not {self.images}")
        if len(self.figures) > MAX_FIGURES:
            raise ValueError(f"a run has at most {MAX_FIGURES} figures, not {len(self.figures)}")
        if self.reference is not None:
            Distribution.from_dict(self.reference)

    @property
    def model_key(self) -> ModelKey:
        """Name, version and weights of the model."""
        return ModelKey(self.model, self.version, self.weights_digest)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The key of the record: a run with the same key replaces this one."""
        return (self.model, self.version, self.weights_digest, self.dataset)

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON-able values, NaN as None; `from_dict` is the inverse."""
        document = {name: getattr(self, name) for name in _FIELDS}
        return {**document, "figures": {name: [_or_none(x) for x in figure] for name, figure in self.figures.items()}}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> RecordedRun:
        """The inverse of `to_dict`; unknown members are ignored.

        Raises:
            ValueError: a member is missing or has the wrong type.
        """
        try:
            texts = {name: _text(document[name]) for name in _TEXTS}
            report, reference = document.get("report"), document.get("reference")
            return cls(
                **texts,
                images=int(document["images"]),
                finished_at_s=float(document["finished_at_s"]),
                figures={_text(name): _figure(value) for name, value in document["figures"].items()},
                protocol=dict(document.get("protocol") or {}),
                reference=None if reference is None else dict(reference),
                report=None if report is None else _text(report),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"not a recorded run: {error!r}") from None


_TEXTS: Final = ("model", "version", "weights_digest", "kind", "dataset", "dataset_digest", "through")
_FIELDS: Final = (*_TEXTS, "images", "finished_at_s", "protocol", "reference", "report")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, not {value!r:.50}")
    return value


def _figure(value: Any) -> tuple[float, float, float]:
    known, low, high = (math.nan if number is None else float(number) for number in value)
    return known, low, high


def _or_none(number: float) -> float | None:
    return number if math.isfinite(number) else None
