"""Scales samples of any type and depth to 8 bits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_CEILINGS: Final = (1.0, 255.0, 65535.0)
_PART: Final = 2**18


@dataclass(frozen=True)
class Span:
    """The value range of samples whose type does not define black and white.

    Attributes:
        least: The least value so far; 0 before the first.
        greatest: The greatest value so far; 0 before the first.
        seen: Whether there was any value.
    """

    least: float = 0.0
    greatest: float = 0.0
    seen: bool = False

    def widened(self, samples: NDArray[Any]) -> "Span":
        """Extends the range by more samples; NaN and infinity count as 0."""
        span = self
        for part in parts(samples):
            values = _finite(samples[part])
            least, greatest = float(values.min()), float(values.max())
            if span.seen:
                least, greatest = min(least, span.least), max(greatest, span.greatest)
            span = Span(least, greatest, seen=True)
        return span

    def black_and_range(self, dtype: np.dtype[Any]) -> tuple[float, float]:
        """Guesses the range 0 to 1 (floats only), 0 to 255 or 0 to 65535, or else uses the least and greatest value.

        Args:
            dtype: Type of the samples.

        Returns:
            The value of black, and the difference of white and black.
        """
        ceilings = _CEILINGS if dtype.kind == "f" else _CEILINGS[1:]
        ceiling = next((ceiling for ceiling in ceilings if self.greatest <= ceiling), None)
        if self.least < 0 or ceiling is None:
            return self.least, max(self.greatest - self.least, float(np.finfo(np.float64).tiny))
        return 0.0, ceiling


def eight_bit(samples: NDArray[Any], bits: int | None = None, span: Span | None = None) -> NDArray[np.uint8]:
    """Scales samples to 8 bits.

    Unsigned samples of up to 16 bits use their full range. For other types (32 and 64 bits, signed, floats) files do
    not declare a range, so it is guessed from the values.

    Args:
        samples: (H, ...), of any real type, in the byte order of this machine.
        bits: Bits per sample, where fewer than the type has.
        span: The value range of the whole image, where these samples are a part of it.

    Returns:
        uint8 of the same shape. NaN and infinity are read as the value 0 before scaling.
    """
    bits = bits or 8 * samples.dtype.itemsize
    if samples.dtype.kind == "u" and bits <= 16:
        return _rescaled(samples, bits)
    black, span_of_values = (span or Span().widened(samples)).black_and_range(samples.dtype)
    scaled = np.empty(samples.shape, np.uint8)
    for part in parts(samples):
        scaled[part] = np.rint((_finite(samples[part]) - black) * (255 / span_of_values)).clip(0, 255)
    return scaled


def parts(samples: NDArray[Any]) -> Iterator[slice]:
    """Yields slices of rows of about 262,144 samples, so that arithmetic in wide types takes little memory."""
    step = max(_PART // max(samples[:1].size, 1), 1)
    for first in range(0, len(samples), step):
        yield slice(first, first + step)


def _rescaled(samples: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return samples.astype(np.uint8, copy=False)
    if bits == 16:  # (v + 128) // 257 is v / 257, rounded
        scaled = np.empty(samples.shape, np.uint8)
        for part in parts(samples):
            scaled[part] = (samples[part].astype(np.uint32) + np.uint32(128)) // np.uint32(257)
        return scaled
    greatest = (1 << bits) - 1
    table = np.rint(np.arange(greatest + 1) * (255 / greatest)).astype(np.uint8)
    return table[samples]


def _finite(samples: NDArray[Any]) -> NDArray[np.float64]:
    values: NDArray[np.float64] = samples.astype(np.float64)
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
