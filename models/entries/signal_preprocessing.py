"""Preprocessing of models of signals, as their cards have it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNAL_CNN: Final = "signal-cnn"
"""The architecture of models of signals, `models.classification.signal_network`."""

_LONGEST_SIGNAL: Final = 65_536
"""Numbers; their text is below the size limit of `models.signals.decoding`."""


@dataclass(frozen=True)
class SignalPreprocessing:
    """Preprocessing of a classifier of signals: a fixed number of values, and normalisation.

    Attributes:
        length: Numbers in a signal.
        mean: Subtracted from each.
        std: Each is then divided by it.

    Raises:
        ValueError: On construction, where the length is out of its range, or a number is not finite or std not above 0.
    """

    length: int
    mean: float
    std: float

    def __post_init__(self) -> None:
        if not 1 <= self.length <= _LONGEST_SIGNAL:
            raise ValueError(f"length must be from 1 to {_LONGEST_SIGNAL}, not {self.length}")
        if not isfinite(self.mean) or not isfinite(self.std):
            raise ValueError(f"mean and std must be finite, not {self.mean} and {self.std}")
        if self.std <= 0:
            raise ValueError(f"std must be above 0, not {self.std}")

    @property
    def largest_size(self) -> tuple[int, int]:
        """(1, length): a signal is an image of height 1."""
        return 1, self.length

    @property
    def fixed_size(self) -> tuple[int, int]:
        """(1, length)."""
        return self.largest_size

    def normalise(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalises signals, float32 of any shape."""
        import numpy as np  # here, since `tapetum --help` reads cards' types and loads no numpy

        return ((values - np.float32(self.mean)) / np.float32(self.std)).astype(np.float32)
