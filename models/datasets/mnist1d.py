"""Generated signals of ten classes: MNIST-1D, the small benchmark of arXiv:2011.14439 (Greydanus, 2020), section 2.

As in the paper, each class is a template of 12 points that stands for a digit; a signal is its template, padded,
scaled, moved around in a circle, resampled to 40 points, with correlated and independent noise and a random slope. The
templates are drawn anew here, so that figures are not those of the paper's own data. Signals are made one by one from
the seed and their number, in 0.1 ms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.datasets.photo_files import digest_of
from models.datasets.samples import ClassTarget, DatasetError, Kind, LabelProblem, Sample
from models.signals.decoding import encode_signal

MNIST1D: Final = "mnist1d"
"""What the data set is called."""

CLASS_NAMES: Final = tuple("0123456789")
LENGTH: Final = 40
"""Numbers in a signal."""

Split = Literal["train", "val"]

_COUNTS: Final = {"train": 4000, "val": 1000}
"""Signals of the paper's training and test set."""
_VERSION: Final = 1  # of the generator: raised with every change of a number
_SHAPES: Final = (
    (0, 4, 7, 9, 10, 10, 10, 10, 9, 7, 4, 0),  # 0: one wide arch
    (0, 0, 0, 5, 10, 5, -5, -10, -5, 0, 0, 0),  # 1: a narrow peak, then a narrow valley
    (0, -4, -7, -9, -10, -10, -10, -10, -9, -7, -4, 0),  # 2: one wide valley
    (0, 6, 10, 8, 3, 0, 0, 3, 8, 10, 6, 0),  # 3: two arches
    (0, -3, -6, -9, -9, -9, 8, 8, 0, 0, 0, 0),  # 4: a slope down, then a jump
    (0, 9, 9, -9, -9, 9, 9, -9, -9, 0, 0, 0),  # 5: a square wave
    (0, -4, -8, -10, -10, -8, -3, 3, 6, 6, 3, 0),  # 6: a valley, then a small arch
    (0, 10, 10, 8, 6, 4, 2, 0, -2, -4, -6, 0),  # 7: a jump, then a long slope down
    (0, -7, -9, -4, 5, 9, 5, -4, -9, -7, 0, 0),  # 8: a valley, an arch, a valley
    (0, 8, 10, 8, 1, -2, -2, -2, -2, -2, -2, 0),  # 9: an arch, then a long low line
)
"""Heights of the template of each class."""
_PADDING: Final = (36, 60)
_SCALE: Final = 0.4
_SHIFT: Final = 48
_CORRELATED_NOISE: Final = 0.25
_CORRELATION: Final = 2.0
_INDEPENDENT_NOISE: Final = 0.02
_SHEAR: Final = 0.75
"""The paper's parameters: points of zeros behind the template, spread of its height, points that it is moved by, both
noises and the standard deviation of the filter of the first in points, and the spread of the slope."""
_HEIGHT: Final = 6.0
"""A template has this many times less than unit variance, as the paper's have."""
_REACH: Final = 4
"""The filter of the noise is cut off at so many standard deviations."""


def templates() -> NDArray[np.float64]:
    """(10, 12) templates of variance 1 / 36, each of which begins at 0."""
    shapes = np.array(_SHAPES, np.float64)
    shapes -= shapes.mean(axis=1, keepdims=True)
    shapes /= shapes.std(axis=1, keepdims=True) * _HEIGHT
    return shapes - shapes[:, :1]


@dataclass(eq=False)
class Mnist1d:
    """Signals of ten classes, in turn: an `EvaluationSet` for classifiers of signals.

    Attributes:
        seed: Seed of the random number generator, 0 or more.
        count: Signals, 1 or more.
        split: `train` and `val` have no signal in common.
        name: See `EvaluationSet`.
        kind: See there.
        class_names: See there.
        category_ids: See there.
        digest: See there.
        problems: None ever.
    """

    seed: int = 0
    count: int = _COUNTS["val"]
    split: Split = "val"
    name: str = field(init=False)
    kind: Kind = "classification"
    class_names: tuple[str, ...] = CLASS_NAMES
    category_ids: tuple[int, ...] = tuple(range(len(CLASS_NAMES)))
    digest: str = field(init=False)
    problems: Sequence[LabelProblem] = ()

    def __post_init__(self) -> None:
        self.name = "/".join([MNIST1D, self.split, *([str(self.seed)] if self.seed else [])])
        self.digest = digest_of(f"{_VERSION} {self.seed} {self.count} {self.split}")
        self._templates = templates()

    def __len__(self) -> int:
        return self.count

    def load(self, index: int) -> Sample:
        """See `EvaluationSet.load`; the image is a signal in CSV, the same on every machine."""
        if not 0 <= index < self.count:
            raise IndexError(f"{self.name} has no signal {index}")
        target = ClassTarget(index % len(CLASS_NAMES))
        return Sample(index + 1, f"{index:06}.csv", encode_signal(self.signal(index)), target)

    def signal(self, index: int) -> NDArray[np.float32]:
        """Makes one signal, (40,) float32, of class `index % 10`."""
        rng = np.random.default_rng((self.seed, index, self.split == "train"))
        template = self._templates[index % len(CLASS_NAMES)]
        padded = np.pad(template, (0, int(rng.integers(_PADDING[0], _PADDING[1] + 1))))
        padded *= 1 + _SCALE * rng.uniform(-0.5, 0.5)
        moved = np.roll(padded, int(rng.integers(0, _SHIFT + 1)))
        places = np.linspace(0, len(moved) - 1, LENGTH)
        signal = np.interp(places, np.arange(len(moved)), moved)
        signal += _CORRELATED_NOISE * _smoothed(rng.normal(size=LENGTH + 2 * _radius()))
        signal += _INDEPENDENT_NOISE * rng.normal(size=LENGTH)
        slope = _SHEAR * rng.uniform(-0.5, 0.5)
        return (signal - slope * np.linspace(-0.5, 0.5, LENGTH)).astype(np.float32)


def open_mnist1d(spec: str, split: Split = "val", limit: int | None = None) -> Mnist1d:
    """Opens the data set.

    Args:
        spec: `mnist1d`, `mnist1d:SEED` or `mnist1d:SEED:COUNT`; without a count 4,000 signals to learn from, and 1,000
            to measure on.
        split: Which signals.
        limit: So many signals, from the first.

    Raises:
        DatasetError: Seed or count are no whole numbers, or there is more.
    """
    _, *numbers = spec.split(":")
    if len(numbers) > 2 or not all(text.isascii() and text.isdigit() and len(text) < 10 for text in numbers):
        raise DatasetError(f"{spec}: must be {MNIST1D}, {MNIST1D}:SEED or {MNIST1D}:SEED:COUNT")
    seed = int(numbers[0]) if numbers else 0
    count = int(numbers[1]) if len(numbers) == 2 else _COUNTS[split]
    if count < 1:
        raise DatasetError(f"{spec}: there must be one signal or more")
    return Mnist1d(seed, count if limit is None else min(count, limit), split)


def is_mnist1d(spec: str) -> bool:
    """Whether `--data` names these signals."""
    return spec == MNIST1D or spec.startswith(f"{MNIST1D}:")


def _radius() -> int:
    return round(_REACH * _CORRELATION)


def _smoothed(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filters noise by a Gaussian; the result is shorter by a radius at both ends."""
    offsets = np.arange(-_radius(), _radius() + 1)
    weights = np.exp(-0.5 * (offsets / _CORRELATION) ** 2)
    return np.convolve(noise, weights / weights.sum(), "valid").astype(np.float64)
